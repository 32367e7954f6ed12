"""A whole Slipway on one machine, on loopback: for `make demo` and for the tests."""
