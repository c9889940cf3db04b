"""Backdoored networks, one run per model: what experiments of several papers describe, train and tabulate."""
