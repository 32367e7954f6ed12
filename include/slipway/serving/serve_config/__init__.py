"""What TensorFlow Serving needs to follow a bucket, as files and as lines to start it with."""
