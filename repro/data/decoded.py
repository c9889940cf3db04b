"""A dataset's images decoded once: a plain .npy file of uint8, tied to the source it was made from.

``<name>.npy`` holds the images and ``<name>.json`` everything else, including the SHA-256 of the images. The pair is
made again when it is missing, truncated or changed, or comes from another source or way of decoding. Nothing is ever
pickled.
"""

import errno
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from filelock import FileLock

from repro.data import Dataset, Indices
from repro.data.checksums import file_checksum, read_json
from repro.errors import ReproError
from repro.files import write_json

_BRIGHTEST = np.float32(255)

Make = Callable[[Path], tuple[list[int], tuple[str, ...]]]
"""Writes the images to the path it is given; returns the labels and the names of the classes."""


@dataclass(frozen=True, eq=False)
class Decoded:
    """images: uint8 (n, c, h, w), mapped from the file, read only; labels: int64 (n,); names of the classes."""

    images: npt.NDArray[np.uint8]
    labels: Indices
    classes: tuple[str, ...]

    def dataset(self, name: str, variant: str, sha256: str, rows: Indices | None) -> Dataset:
        """The chosen rows in their order, or all; only these are read and converted to float32 in [0, 1]."""
        chosen: Any = slice(None) if rows is None else rows
        images = self.images[chosen].astype(np.float32)
        images /= _BRIGHTEST
        return Dataset(name, variant, images, self.labels[chosen], self.classes, sha256)


def decoded(folder: Path, name: str, made_of: dict[str, Any], make: Make) -> Decoded:
    """What ``make`` makes, read from ``folder``; made there first unless already done.

    ``made_of``: everything that decides the outcome, as plain values: the source's checksum, options, the decoder. If
    several processes want it, one makes it and the others wait. Raises ReproError when the disk is full or cannot be
    written.
    """
    found = _read(folder, name, made_of)
    if found is not None:
        return found
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f".{name}.lock"):
            found = _read(folder, name, made_of)
            if found is None:
                _make(folder, name, made_of, make)
                found = _read(folder, name, made_of)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise ReproError(f"{folder}: disk full while decoding images into it") from error
        raise ReproError(f"{error.filename or folder}: cannot write ({error.strerror or error})") from error
    if found is None:
        raise ReproError(
            f"{folder / name}.npy: changed as soon as it was written; decoded images do not last"
        )
    return found


def _make(folder: Path, name: str, made_of: dict[str, Any], make: Make) -> None:
    images, about = folder / f"{name}.npy", folder / f"{name}.json"
    beside = folder / f".{name}.unfinished.npy"
    try:
        labels, classes = make(beside)
        about.unlink(missing_ok=True)
        beside.replace(images)
        sha256 = file_checksum(images, _memory(folder, name))
        write_json(about, {"made_of": made_of, "images": sha256, "classes": classes, "labels": labels})
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


def _read(folder: Path, name: str, made_of: dict[str, Any]) -> Decoded | None:
    images, about = folder / f"{name}.npy", read_json(folder / f"{name}.json")
    if about.get("made_of") != made_of or not images.is_file():
        return None
    if file_checksum(images, _memory(folder, name)) != about.get("images"):
        return None
    try:
        mapped = np.load(images, mmap_mode="r", allow_pickle=False)
        labels, classes = np.array(about["labels"], np.int64), tuple(about["classes"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if mapped.dtype != np.uint8 or mapped.ndim != 4 or labels.shape != (len(mapped),):
        return None
    return Decoded(mapped, labels, classes)


def _memory(folder: Path, name: str) -> Path:
    return folder / f".{name}.npy.checksum.json"
