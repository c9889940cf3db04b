"""What a paper of a user's own may consist of, and reading its code anew."""

from collections.abc import Callable
from pathlib import Path

from repro import plugins
from repro.harness.evidence import definitions, fingerprint, keys

Write = Callable[[str, str], Path]
PARAMS = "profile: tiny\nseeds: {evidence: 1, tuning: 100001}\n"
TRIGGER = '''"""A ring."""
import numpy as np

OPTIONS = {"value": 1.0}


def check(shape, value):
    pass


def pattern(scene, value):
    mask = np.ones((1, 1, *scene.images.shape[-2:]), np.float32)
    mask[..., 0, :] = 0
    return np.full_like(mask, value), mask
'''


def forget() -> None:
    """Read the code anew."""
    for cached in (definitions.module_of, fingerprint.code, fingerprint._reached, keys._code):
        cached.cache_clear()
    plugins.forget()
