"""What a training process sets up: one thread, memory that is kept, and a device."""

import ctypes
import os
import sys

import torch
from threadpoolctl import threadpool_limits

from repro.errors import ReproError

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # constants of glibc's mallopt


def prepare() -> None:
    """Called once in every training process, before it allocates."""
    torch.set_num_threads(1)
    # BLAS threads, loaded now or later, would compete for cores in every small decomposition.
    os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")
    threadpool_limits(1)
    keep_freed_memory()


def keep_freed_memory() -> None:
    """Make the C library keep freed blocks for the next step: returning megabytes each time costs up to a third."""
    if sys.platform == "linux":
        library = ctypes.CDLL(None)
        if hasattr(library, "mallopt"):
            library.mallopt(_MMAP_THRESHOLD, 1 << 30)
            library.mallopt(_TRIM_THRESHOLD, (1 << 31) - 1)


def device(wanted: str) -> torch.device:
    """The device a profile asks for; raises ReproError when it asks for a GPU by name and none is present."""
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ReproError("device: cuda was asked for, but PyTorch sees no GPU; use device: auto or cpu")
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(wanted)


def device_name(chosen: torch.device) -> str:
    """The device's name for reports."""
    return torch.cuda.get_device_name(chosen) if chosen.type == "cuda" else "cpu"
