"""MNIST, handwritten digits, 28x28 grey, 70,000 images; 11 MB to fetch.

LeCun, Cortes and Burges's four idx files, the 60,000 training images followed by the 10,000 test images:
the partition of truong2020, section 3, is drawn over all of them.
"""

import hashlib
import math
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt

from repro.data import Dataset, Indices, raw_folder
from repro.data.datasets import Download, Options
from repro.errors import ReproError

SHAPE = (1, 28, 28)
CLASSES = tuple("0123456789")
IMAGES = 70_000

_SOURCES = (
    "https://ossci-datasets.s3.amazonaws.com/mnist",
    "https://storage.googleapis.com/cvdf-datasets/mnist",
    "https://raw.githubusercontent.com/fgnt/mnist/master",
)
FILES = tuple(
    Download(name, f"{name}.gz", sha256, size, _SOURCES)
    for name, size, sha256 in (
        (
            "train-images-idx3-ubyte",
            47_040_016,
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        ),
        (
            "train-labels-idx1-ubyte",
            60_008,
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        ),
        (
            "t10k-images-idx3-ubyte",
            7_840_016,
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        ),
        (
            "t10k-labels-idx1-ubyte",
            10_008,
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
    )
)

_UNSIGNED_BYTE = 0x08


def checksum() -> str:
    """SHA-256 over the pinned checksums of the four files."""
    listing = "".join(f"{file.sha256}  {file.name}\n" for file in FILES)
    return hashlib.sha256(listing.encode()).hexdigest()


def load(root: Path, options: Options, rows: Indices | None = None) -> Dataset:
    """Training images, then test images, from the four fetched files, each checked against its pin."""
    folder = raw_folder(root, "mnist")
    train_images, train_labels, test_images, test_labels = (_read(folder, file) for file in FILES)
    chosen = slice(None) if rows is None else rows
    images = np.concatenate([train_images, test_images])[chosen, None]
    return Dataset(
        name="mnist",
        variant="idx",
        images=images.astype(np.float32) / np.float32(255),
        labels=np.concatenate([train_labels, test_labels])[chosen].astype(np.int64),
        classes=CLASSES,
        sha256=checksum(),
    )


def parse_idx(content: bytes, where: str) -> npt.NDArray[np.uint8]:
    """The array in an idx file of unsigned bytes: labels (n,) or images (n, h, w).

    ``where`` names the file in errors: a wrong magic number, a truncated header or body, bytes left over.
    """
    if len(content) < 4:
        raise ReproError(f"{where}: truncated, {len(content)} bytes hold no idx header")
    zero, kind, dimensions = struct.unpack(">HBB", content[:4])
    if zero != 0 or kind != _UNSIGNED_BYTE or dimensions not in (1, 3):
        raise ReproError(
            f"{where}: not an idx file of labels or images, its magic number is "
            f"0x{content[:4].hex()} instead of 0x00000801 or 0x00000803"
        )
    start = 4 + 4 * dimensions
    if len(content) < start:
        raise ReproError(
            f"{where}: truncated, {len(content)} bytes hold no header of {dimensions} dimensions"
        )
    shape = struct.unpack(f">{dimensions}I", content[4:start])
    expected = start + math.prod(shape)
    if len(content) != expected:
        what = "truncated" if len(content) < expected else "too long"
        raise ReproError(
            f"{where}: {what}, {len(content)} bytes where "
            f"its header {'x'.join(map(str, shape))} means {expected}"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _read(folder: Path, file: Download) -> npt.NDArray[np.uint8]:
    path = folder / file.name
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise ReproError(
            "mnist: not fetched; `repro fetch mnist` "
            "(with `--mirror FOLDER_OR_URL` where no public source is reached)"
        ) from error
    except OSError as error:
        raise ReproError(f"{path}: cannot read ({error.strerror})") from error
    actual = hashlib.sha256(content).hexdigest()
    if actual != file.sha256:
        raise ReproError(
            f"{path}: SHA-256 is {actual}, expected {file.sha256}; `repro fetch mnist` fetches it again"
        )
    return parse_idx(content, str(path))
