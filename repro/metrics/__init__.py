"""Metrics of attacks, computed from the outputs of models."""
