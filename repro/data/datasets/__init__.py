"""What a dataset piece is: one module here, named by its file, with the attributes of ``Piece``.

The first line of its docstring is its title in listings. The module does not import torch, and importing it reads no
data. ``checksum()`` returns within 50 ms and before anything is downloaded, because fingerprints of evidence contain
it.

A module may also have ``OPTIONS``, its options with their defaults, written as a literal; ``prepare(root, options,
say)``, what ``repro fetch`` does once all files are there; and ``describe(root, options)``, its ``Facts`` if they
depend on options or content. A module whose content is the user's own has ``describe`` and ``FILES = ()`` in place of
the constants and ``checksum``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from repro.data import Dataset, Indices

Options = Mapping[str, Any]
"""All of a piece's options, with defaults filled in."""


@dataclass(frozen=True)
class Download:
    """One file to fetch.

    name: as it is kept; path: as it is called at the source, ``name`` itself or ``name`` with ``.gz``, whose
    wrapping is then taken off; sha256, size (bytes): of the file as kept, so that two sources may wrap it
    differently; sources: https folders that hold ``path``, tried in turn, none when only a mirror can have it;
    mirror_folder: the folder of a mirror that holds ``path``, named as the dataset when None, the mirror itself
    when empty.
    """

    name: str
    path: str
    sha256: str
    size: int
    sources: tuple[str, ...]
    mirror_folder: str | None = None

    def in_mirror(self, dataset: str) -> str:
        """The file's path on a mirror."""
        folder = dataset if self.mirror_folder is None else self.mirror_folder
        return f"{folder}/{self.path}" if folder else self.path


@dataclass(frozen=True)
class Facts:
    """What is known about a dataset without loading it.

    shape: (channels, height, width); classes: their names, in the order of the labels; images: how many the
    whole dataset has; checksum: SHA-256 (hex) that identifies the content.
    """

    shape: tuple[int, int, int]
    classes: tuple[str, ...]
    images: int
    checksum: str


class Piece(Protocol):
    """The attributes of a dataset's module."""

    SHAPE: tuple[int, int, int]
    """(channels, height, width)."""
    CLASSES: tuple[str, ...]
    """Names of the classes, in the order of the labels."""
    IMAGES: int
    """How many images the whole dataset has."""
    FILES: tuple[Download, ...]
    """What ``repro fetch`` downloads; empty when an installed package brings the data."""

    @staticmethod
    def checksum() -> str:
        """SHA-256 (hex) that identifies the content."""

    @staticmethod
    def load(root: Path, options: Options, rows: Indices | None = None) -> Dataset:
        """The chosen rows in their order, or the whole dataset; only the chosen rows become float32.

        Raises ReproError when the files in the project at ``root`` are missing or wrong.
        """
