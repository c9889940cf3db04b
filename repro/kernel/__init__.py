"""One model's training and forward passes, compiled for the CPU by Numba: everything stays in the processor's cache.

Measured by ``tests/benchmarks/test_kernel_speed.py``; the README has the figures beside a plain PyTorch loop's, the
stacked fleet's and the floor of arithmetic.

Every product is ``passes.multiply_add``, over tiles of vectors held in registers. Its left factor is addressed through
two tables of offsets, one for rows and one for the summation index, so that a convolution reads its patches in place:
no columns are copied. Its right factor and its result have contiguous columns, padded with zeros to LANES. The order of
every sum is fixed and no operation is reordered (``fastmath`` is off): an outcome does not depend on what is trained
beside it, and hardly on the processor.
"""

import numba
import numpy as np
from numba import njit

from repro.kernel import cache

LANES = 8  # numbers per vector; columns are padded to a multiple

index = np.uint64  # for nonnegative indices: a signed index is tested for its sign every time

_LOCATORS = ("UserProvidedCacheLocator", "InTreeCacheLocator", "UserWideCacheLocator")
numba.config.CACHE_LOCATOR_CLASSES = ",".join([f"{cache.__name__}.ByContents", *_LOCATORS])
_OPTIONS = {"error_model": "numpy", "cache": True, "nogil": True}
compiled = njit(**_OPTIONS)
inner = njit(**_OPTIONS, no_cpython_wrapper=True, no_cfunc_wrapper=True)  # called only from compiled code
