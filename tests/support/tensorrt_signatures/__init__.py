"""What the real packages of TensorRT and TF-TRT can be called with, recorded."""
