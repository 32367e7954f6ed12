"""What servers see: the published layout, the model server, its configuration."""
