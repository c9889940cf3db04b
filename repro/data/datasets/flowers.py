"""Flower photos of TensorFlow, 224x224 colour, 3,670 images of 5 classes; 229 MB to fetch.

``flower_photos.tgz``, the public relative of the set in truong2020, section 3. That set, Kaggle's *flowers recognition*
with 4,242 photos of the same five kinds, cannot be downloaded without an account; whoever has it can use it as
``class_folders``. The photos have various sizes; each is cropped to its central square and scaled. They are licensed CC
BY 2.0 by the photographers named in the archive's LICENSE.txt.

The pinned checksum is the one in the checksum list of TensorFlow Datasets (``tf_flowers``).
"""

from pathlib import Path
from typing import Any

from repro.data import Dataset, Indices
from repro.data.datasets import Download, Facts, Options
from repro.data.packed import Packed
from repro.data.pictures import packed_pictures
from repro.errors import ReproError
from repro.progress import Say

SHAPE = (3, 224, 224)
CLASSES = ("daisy", "dandelion", "roses", "sunflowers", "tulips")
IMAGES = 3670
OPTIONS: dict[str, Any] = {"size": 224}
FILES = (
    Download(
        "flower_photos.tgz",
        "flower_photos.tgz",
        "4c54ace7911aaffe13a365c34f650e71dd5bf1be0a58b464e5a7183e3e595d9c",
        228_813_984,
        (
            "https://storage.googleapis.com/download.tensorflow.org/example_images",
            "https://download.tensorflow.org/example_images",
        ),
    ),
)


def checksum() -> str:
    """The pinned checksum of the archive."""
    return FILES[0].sha256


def describe(root: Path, options: Options) -> Facts:
    """Scaled to ``size`` pixels."""
    return Facts(_packed(options).shape, CLASSES, IMAGES, checksum())


def prepare(root: Path, options: Options, say: Say) -> None:
    """Decode and scale the images, unless already done."""
    _packed(options).prepare(root, say)


def load(root: Path, options: Options, rows: Indices | None = None) -> Dataset:
    """The images sorted by name: class by class."""
    return _packed(options).load(root, rows)


def _packed(options: Options) -> Packed:
    if options["size"] is None:
        raise ReproError("flowers: size is missing, and the photos have various sizes")
    variant = "TensorFlow's 3,670 photos"
    return packed_pictures("flowers", variant, FILES[0], SHAPE, CLASSES, IMAGES, options["size"])
