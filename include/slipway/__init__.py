"""Slipway takes a TensorFlow model from training to healthy serving."""

__version__ = "0.1.0"
