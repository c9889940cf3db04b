"""CIFAR-10 encoded as JPEG, 32x32 colour, 60,000 images; not the published pixels; from a mirror only.

The images of Krizhevsky's CIFAR-10 after a lossy encoding, as ``train/<class>/NNNN.jpg`` and
``test/<class>/NNNN.jpg``: results on them are never results on ``cifar10``.
"""

from pathlib import Path
from typing import Any

from repro.data import Dataset, Indices
from repro.data.datasets import Download, Facts, Options
from repro.data.packed import Packed
from repro.data.pictures import packed_pictures
from repro.progress import Say

SHAPE = (3, 32, 32)
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
IMAGES = 60_000
OPTIONS: dict[str, Any] = {"size": None}
FILES = (
    Download(
        "cifar10-jpeg.tar.xz",
        "cifar10-jpeg.tar.xz",
        "6316e41ff363d41f8159f7d0c3d86ebd496c075237064a2c4ae47e132a1bba61",
        18_572_512,
        sources=(),
        mirror_folder="",
    ),
)


def checksum() -> str:
    """The pinned checksum of the archive."""
    return FILES[0].sha256


def describe(root: Path, options: Options) -> Facts:
    """As published here, or scaled to ``size`` pixels."""
    return Facts(_packed(options).shape, CLASSES, IMAGES, checksum())


def prepare(root: Path, options: Options, say: Say) -> None:
    """Decode the images, unless already done."""
    _packed(options).prepare(root, say)


def load(root: Path, options: Options, rows: Indices | None = None) -> Dataset:
    """The images sorted by name: test images first, class by class."""
    return _packed(options).load(root, rows)


def _packed(options: Options) -> Packed:
    return packed_pictures("cifar10_jpeg", "JPEG copy", FILES[0], SHAPE, CLASSES, IMAGES, options["size"])
