"""Datasets as plain arrays, and the seeded choices made on them (truong2020, section 3)."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt

from repro import plugins
from repro.data.datasets import Facts, Options, Piece
from repro.errors import ReproError

Images = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled images in one shape, checked when made (ReproError names the dataset and the field).

    images: float32 (n, c, h, w) in [0, 1]; labels: int64 (n,), indices into ``classes``; ``variant`` says which edition
    this is and, for a slice, how much of it; ``sha256`` identifies the content of the *whole* dataset, even for a
    slice.
    """

    name: str
    variant: str
    images: Images
    labels: Indices
    classes: tuple[str, ...]
    sha256: str

    def __post_init__(self) -> None:
        images, labels = self.images, self.labels
        if images.dtype != np.float32 or images.ndim != 4:
            raise ReproError(
                f"{self.name}: images are {images.dtype} {images.shape}, not float32 (n, c, h, w)"
            )
        if labels.dtype != np.int64 or labels.ndim != 1:
            raise ReproError(f"{self.name}: labels are {labels.dtype} {labels.shape}, not int64 (n,)")
        if len(images) != len(labels):
            raise ReproError(f"{self.name}: {len(images)} images but {len(labels)} labels")
        if len(images) == 0:
            raise ReproError(f"{self.name}: no images")
        if not (images.min() >= 0 and images.max() <= 1):
            raise ReproError(
                f"{self.name}: images reach from {images.min()} to {images.max()}, not within [0, 1]"
            )
        if labels.min() < 0 or labels.max() >= len(self.classes):
            raise ReproError(
                f"{self.name}: labels reach from {labels.min()} to {labels.max()}, "
                f"but there are {len(self.classes)} classes"
            )

    def __len__(self) -> int:
        return len(self.labels)


def seeded_generator(label: str) -> np.random.Generator:
    """PCG64 seeded from the SHA-256 of ``label``, so that each purpose and seed has its own stream."""
    return np.random.Generator(
        np.random.PCG64(int.from_bytes(hashlib.sha256(label.encode()).digest(), "big"))
    )


def dataset_piece(name: str) -> Piece:
    """The module of a dataset; raises ReproError for an unknown name."""
    return cast(Piece, plugins.load("dataset", name))


def raw_folder(root: Path, name: str) -> Path:
    """The folder of a downloaded dataset's files in the project at ``root``."""
    return root / "data" / "raw" / name


def all_options(name: str, options: Options | None) -> Options:
    """A dataset's options, with defaults filled in; ReproError names an unknown one."""
    known: Options = getattr(dataset_piece(name), "OPTIONS", {})
    for option in options or {}:
        if option not in known:
            raise ReproError(f"{name}: no option {option!r} (known: {', '.join(known) or 'none'})")
    return {**known, **(options or {})}


def describe(name: str, options: Options | None = None, root: Path = Path()) -> Facts:
    """Shape, classes, number of images and checksum of the dataset ``name`` with its options.

    Needs no fetched files, except where the content is the user's own: that is decoded the first time.
    """
    piece = dataset_piece(name)
    filled = all_options(name, options)
    if hasattr(piece, "describe"):
        return cast(Facts, piece.describe(root, filled))
    return Facts(piece.SHAPE, piece.CLASSES, piece.IMAGES, piece.checksum())


def load_dataset(name: str, root: Path, limit: int | None = None, options: Options | None = None) -> Dataset:
    """The dataset ``name`` of the project at ``root``: all images in their own order, or ``limit`` of them.

    The slice is the first ``limit`` entries of the permutation that ``seeded_generator`` of ``"limit/<name>"`` draws;
    so smaller slices are prefixes of larger ones, and classes are about as frequent as in the whole dataset. Raises
    ReproError for an unknown or unfetched dataset, an unknown option, and a limit below 1 or above the number of
    images.
    """
    piece, filled = dataset_piece(name), all_options(name, options)
    if limit is None:
        return piece.load(root, filled)
    images = describe(name, options, root).images
    if not 1 <= limit <= images:
        raise ReproError(f"{name}: limit is {limit}, must be from 1 to its {images} images")
    chosen = seeded_generator(f"limit/{name}").permutation(images)[:limit]
    part = piece.load(root, filled, chosen)
    return replace(part, variant=f"{part.variant}, {limit} of {images} images")
