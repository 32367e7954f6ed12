"""The spec: what a user may write in the YAML of a model."""
