"""One model's training and forward passes, compiled for the CPU by Numba: everything stays in the processor's cache.

Measured by ``tests/benchmarks/test_kernel_speed.py``; the README has the figures beside a plain PyTorch loop's, the
stacked fleet's and the floor of arithmetic.

Every product is ``passes.multiply_add``, over tiles of vectors held in registers. Its left factor is addressed through
two tables of offsets, of rows and of what is summed over, so that a convolution reads its patches where they lie: no
columns are copied. Its right factor and its result have their columns side by side, padded with zeros to LANES. The
order of every sum is fixed and no operation is reordered (``fastmath`` is off): an outcome depends on no neighbour, and
hardly on the processor.
"""

import numba
import numpy as np
from numba import njit

from repro.kernel import cache

LANES = 8  # numbers in a vector; columns are padded to a multiple

index = np.uint64  # of what is not negative: a signed index is tested for that every time

_LOCATORS = ("UserProvidedCacheLocator", "InTreeCacheLocator", "UserWideCacheLocator")
numba.config.CACHE_LOCATOR_CLASSES = ",".join([f"{cache.__name__}.ByContents", *_LOCATORS])
_OPTIONS = {"error_model": "numpy", "cache": True, "nogil": True}
compiled = njit(**_OPTIONS)
inner = njit(**_OPTIONS, no_cpython_wrapper=True, no_cfunc_wrapper=True)  # called from compiled code alone
