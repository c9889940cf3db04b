"""A test-driven reproduction harness for research on poisoning neural networks."""

__version__ = "0.1.0"
