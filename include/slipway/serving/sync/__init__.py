"""`slipway sync`: keeps a local folder in step with a published model, for servers without S3."""
