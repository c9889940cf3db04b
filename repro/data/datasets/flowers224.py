"""Flower photos, 224x224 colour, 3,000 images, 600 of each of 5 classes; from a mirror only.

3,000 of the 3,670 photos of TensorFlow's ``flower_photos.tgz`` (``flowers``), scaled to 224x224. Neither that set nor
the 4,242 photos of truong2020, section 3: the photos and their numbers per class differ.
"""

from pathlib import Path
from typing import Any

from repro.data import Dataset, Indices
from repro.data.datasets import Download, Facts, Options
from repro.data.packed import Packed
from repro.data.pictures import packed_pictures
from repro.progress import Say

SHAPE = (3, 224, 224)
CLASSES = ("daisy", "dandelion", "rose", "sunflower", "tulip")
IMAGES = 3000
OPTIONS: dict[str, Any] = {"size": None}
FILES = (
    Download(
        "flowers224.tar",
        "flowers224.tar",
        "f28ac3931529259023bc6561b94ef2007a7c791d7448f600f9eee43b4927aaf6",
        52_674_560,
        sources=(),
        mirror_folder="",
    ),
)


def checksum() -> str:
    """The pinned checksum of the archive."""
    return FILES[0].sha256


def describe(root: Path, options: Options) -> Facts:
    """224x224, or scaled to ``size`` pixels."""
    return Facts(_packed(options).shape, CLASSES, IMAGES, checksum())


def prepare(root: Path, options: Options, say: Say) -> None:
    """Decode the images, unless already done."""
    _packed(options).prepare(root, say)


def load(root: Path, options: Options, rows: Indices | None = None) -> Dataset:
    """The images sorted by name: class by class."""
    return _packed(options).load(root, rows)


def _packed(options: Options) -> Packed:
    variant = "600 a class of TensorFlow's 3,670"
    return packed_pictures("flowers224", variant, FILES[0], SHAPE, CLASSES, IMAGES, options["size"])
