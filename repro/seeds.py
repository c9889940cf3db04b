"""Every random choice of training comes from a run's own seed, through a stream named after its purpose."""

import hashlib

import torch


def stream(seed: int, purpose: str) -> torch.Generator:
    """A generator that depends only on the seed and the purpose."""
    digest = hashlib.sha256(f"{purpose}/{seed}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
