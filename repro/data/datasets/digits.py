"""Handwritten digits, 8x8 grey, 1,797 images; ships inside scikit-learn."""

import gzip
import hashlib
import importlib.util
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


@cache
def checksum() -> str:
    """SHA-256 of the installed package's table as unpacked (its wrapping may differ between builds)."""
    package = importlib.util.find_spec("sklearn")
    if package is None or package.origin is None:
        raise ReproError("digits: scikit-learn is not installed, and the images come inside it")
    table = Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"
    try:
        with gzip.open(table) as file:
            return hashlib.sha256(file.read()).hexdigest()
    except (OSError, EOFError) as error:
        raise ReproError(f"digits: cannot read {table} ({error}); install scikit-learn again") from error


def load(root: Path, options: Options, rows: Indices | None = None) -> Dataset:
    """Images in scikit-learn's order; ``root`` is not looked at, as nothing is fetched."""
    from sklearn.datasets import load_digits

    sha256 = checksum()
    bunch = load_digits()
    chosen = slice(None) if rows is None else rows
    return Dataset(
        name="digits",
        variant="scikit-learn",
        images=(bunch.images[chosen][:, None] / _BRIGHTEST).astype(np.float32),
        labels=bunch.target[chosen].astype(np.int64),
        classes=CLASSES,
        sha256=sha256,
    )
