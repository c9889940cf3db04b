"""Handwritten digits, 8x8 grey, 1,797 images; ships inside scikit-learn."""

import gzip
import hashlib
import importlib.util
import io
from functools import cache
from pathlib import Path

import numpy as np

from repro.data import Dataset, Indices
from repro.data.datasets import Download, Options
from repro.errors import ReproError

SHAPE = (1, 8, 8)
CLASSES = tuple("0123456789")
IMAGES = 1797
FILES: tuple[Download, ...] = ()

_BRIGHTEST = 16


def _table() -> bytes:
    """The installed package's table: one line per image, its pixels row by row, each from 0 to 16, then its class."""
    package = importlib.util.find_spec("sklearn")
    if package is None or package.origin is None:
        raise ReproError("digits: scikit-learn is not installed, and the images come inside it")
    table = Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"
    try:
        with gzip.open(table) as file:
            return file.read()
    except (OSError, EOFError) as error:
        raise ReproError(f"digits: cannot read {table} ({error}); install scikit-learn again") from error


@cache
def checksum() -> str:
    """SHA-256 of the installed package's table once uncompressed (the compression may differ between builds)."""
    return hashlib.sha256(_table()).hexdigest()


def load(root: Path, options: Options, rows: Indices | None = None) -> Dataset:
    """Images in scikit-learn's order; ``root`` is ignored, as nothing is fetched.

    The table is read directly: importing scikit-learn for it would take a training process longer than a small fleet.
    """
    table = np.loadtxt(io.BytesIO(_table()), delimiter=",")
    chosen = table if rows is None else table[rows]
    return Dataset(
        name="digits",
        variant="scikit-learn",
        images=(chosen[:, :-1].reshape(-1, *SHAPE) / _BRIGHTEST).astype(np.float32),
        labels=chosen[:, -1].astype(np.int64),
        classes=CLASSES,
        sha256=checksum(),
    )
