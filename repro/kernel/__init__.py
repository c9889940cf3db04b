"""One model's training and forward passes, compiled for the CPU by Numba: everything stays in the processor's cache.

Measured by ``tests/benchmarks/test_kernel_speed.py``; the README has the figures beside a plain PyTorch loop's, the
stacked fleet's and the floor of arithmetic.

Every product is ``passes.multiply_add``, over tiles of vectors held in registers. Its left factor is addressed through
two tables of offsets, of rows and of what is summed over, so that a convolution reads its patches where they lie: no
columns are copied. Its right factor and its result have their columns side by side, padded with zeros to LANES. The
order of every sum is fixed and no operation is reordered (``fastmath`` is off): an outcome depends on no neighbour, and
hardly on the processor.

Numba keeps compiled code on disk, but sees changes only in the file of the function that is called: here the folder is
named after the contents of all of this package.
"""

import hashlib
import os
from pathlib import Path

import numba
import numpy as np
from numba import njit

LANES = 8  # numbers in a vector; columns are padded to a multiple

index = np.uint64  # of what is not negative: a signed index is tested for that every time


def _cache() -> str:
    """Where compiled code of these sources is kept: beside them, or where Numba would where that cannot be written."""
    here = Path(__file__).resolve().parent
    constants = here.parent / "training" / "pair_losses.py"
    contents = b"".join(path.read_bytes() for path in [*sorted(here.glob("*.py")), constants])
    folder = here / "__pycache__" / hashlib.sha256(contents).hexdigest()[:16]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return ""
    return str(folder) if os.access(folder, os.W_OK) else ""


numba.config.CACHE_DIR = _cache() or numba.config.CACHE_DIR
compiled = njit(error_model="numpy", cache=True, nogil=True)
