"""Where the kernel's compiled code is kept: one folder per content of its sources, wherever these are.

Numba names a folder after a file's path, and notices changes only in the file of the called function: a change in
another file of the kernel would go unnoticed, and every clone would compile again.
"""

import hashlib
import os
from functools import cache
from pathlib import Path
from typing import Any

import numba
from llvmlite.binding import get_host_cpu_name
from numba.core.caching import UserWideCacheLocator

from repro.errors import ReproError

_HERE = Path(__file__).resolve().parent
_CONSTANTS = _HERE.parent / "losses" / "pairs.py"


class ByContents(UserWideCacheLocator):
    """Numba's locator for the kernel's functions; other packages' functions get the locators that follow it."""

    def __init__(self, function: Any, file: str) -> None:
        super().__init__(function, file)
        self._cache_path = str(folder())

    @classmethod
    def from_function(cls, py_func: Any, py_file: str) -> "ByContents | None":
        """The locator for a function, or None if it does not belong to the kernel."""
        return cls(py_func, py_file) if Path(py_file).resolve().parent == _HERE else None


@cache
def folder() -> Path:
    """The folder: the first writable one of ``NUMBA_CACHE_DIR``, the user's cache and the sources' own folder."""
    contents = b"".join(path.read_bytes() for path in [*sorted(_HERE.glob("*.py")), _CONSTANTS])
    name = f"kernel-{hashlib.sha256(contents).hexdigest()[:16]}"
    users = Path(UserWideCacheLocator(folder.__wrapped__, __file__).get_cache_path()).parent
    named = [Path(numba.config.CACHE_DIR)] if numba.config.CACHE_DIR else []
    for place in (*named, users, _HERE / "__pycache__"):
        try:
            (place / name).mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(place / name, os.W_OK):
            return place / name
    raise ReproError("no folder for compiled code can be written; set NUMBA_CACHE_DIR to one that can")


def complete() -> Path:
    """The file that marks the whole kernel as compiled for this processor by this version of Numba."""
    return folder() / f"complete-{get_host_cpu_name()}-{numba.__version__}"
