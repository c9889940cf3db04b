"""CIFAR-10, photos of 10 kinds of things, 32x32 colour, 60,000 images; 170 MB to fetch.

Krizhevsky's *binary* version (https://www.cs.toronto.edu/~kriz/cifar.html), since the *python* version consists of
pickles: five batches of training images followed by the test images, since the partition of truong2020, section 3, is
drawn over all of them. The archive's MD5 as published there: c32a1d4ab5d03f1284b67883e8d87530.
"""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from repro.data import Dataset, Indices, archive
from repro.data.archive import Advance
from repro.data.datasets import Download, Options
from repro.data.packed import Packed
from repro.errors import ReproError
from repro.progress import Say

SHAPE = (3, 32, 32)
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
IMAGES = 60_000
FILES = (
    Download(
        "cifar-10-binary.tar.gz",
        "cifar-10-binary.tar.gz",
        "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
        170_052_171,
        (
            "https://storage.googleapis.com/s4tf-hosted-binaries/datasets/CIFAR10",
            "https://mindspore-website.obs.cn-north-4.myhuaweicloud.com/notebook/datasets",
            "https://www.cs.toronto.edu/~kriz",
        ),
    ),
)

BATCHES = (*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin")
RECORD_BYTES = 1 + 3 * 32 * 32


def checksum() -> str:
    """The pinned checksum of the archive."""
    return FILES[0].sha256


def prepare(root: Path, options: Options, say: Say) -> None:
    """Unpack the images, unless already done."""
    _packed().prepare(root, say)


def load(root: Path, options: Options, rows: Indices | None = None) -> Dataset:
    """Training images in the order of the batches, then the test images."""
    return _packed().load(root, rows)


def _packed() -> Packed:
    return Packed("cifar10", "binary", FILES[0], SHAPE, CLASSES, IMAGES, _decode, dict)


def _decode(source: Path, target: Path, advance: Advance) -> tuple[list[int], tuple[str, ...]]:
    records = IMAGES // len(BATCHES)
    found = dict(_batches(source, records, advance))
    for name in BATCHES:
        if name not in found:
            raise ReproError(f"{source}: {name} is not in it")
    whole = np.concatenate([found[name] for name in BATCHES])
    with target.open("wb") as file:
        np.lib.format.write_array(file, whole[:, 1:].reshape(-1, *SHAPE), allow_pickle=False)
    return whole[:, 0].tolist(), CLASSES


def _batches(source: Path, records: int, advance: Advance) -> Iterator[tuple[str, npt.NDArray[np.uint8]]]:
    for member, content in archive.contents(source, advance):
        name = PurePosixPath(member).name
        if name in BATCHES:
            yield name, parse_batch(content, records, f"{source}: {name}")


def parse_batch(content: bytes, records: int, where: str) -> npt.NDArray[np.uint8]:
    """The records of a batch, (n, 3073): the label, then 32x32 values of red, of green, of blue, row by row.

    ``where`` names the batch in errors: a number of bytes other than that of ``records``, or a label above 9.
    """
    expected = records * RECORD_BYTES
    if len(content) != expected:
        what = "truncated" if len(content) < expected else "too long"
        raise ReproError(
            f"{where}: {what}, {len(content)} bytes where {records} records of {RECORD_BYTES} mean {expected}"
        )
    batch = np.frombuffer(content, np.uint8).reshape(records, RECORD_BYTES)
    if (highest := batch[:, 0].max()) >= len(CLASSES):
        record = int(batch[:, 0].argmax())
        raise ReproError(
            f"{where}: record {record} has label {highest}, must be from 0 to {len(CLASSES) - 1}"
        )
    return batch
