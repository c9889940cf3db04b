"""What a dataset piece is: one module here, named by its file, with the members of ``Piece``.

Its docstring's first line is its title in listings. The module imports no torch, and importing it reads no
data. ``checksum()`` answers within 50 ms and before anything is downloaded, because fingerprints of
evidence contain it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from repro.data import Dataset


@dataclass(frozen=True)
class Download:
    """One file to fetch.

    name: as it is kept; path: as it is called at the source, ``name`` itself or ``name`` with ``.gz``, whose
    wrapping is then taken off; sha256, size (bytes): of the file as kept, so that two sources may wrap it
    differently; sources: https folders that hold ``path``, tried in turn.
    """

    name: str
    path: str
    sha256: str
    size: int
    sources: tuple[str, ...]


class Piece(Protocol):
    """The members of a dataset's module."""

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
    def load(folder: Path) -> Dataset:
        """The whole dataset from its files in ``folder``; ReproError when they are missing or not right."""
