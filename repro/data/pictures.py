"""Images in class folders, below a folder or in a tar: an image's class is the name of its folder.

Rows are sorted by the images' names, so a folder and a tar of it give the same rows. Files without an image's ending
are left out, and so is everything whose name begins with a full stop.
"""

import io
import itertools
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from repro.data import archive
from repro.data.archive import Advance
from repro.data.datasets import Download
from repro.data.packed import Packed
from repro.errors import ReproError

IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
LARGEST_SIZE = 4096

_EIGHT_BITS = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "HSV"}


@dataclass(frozen=True)
class Listing:
    """Names of the images, sorted, as ``/``-separated paths; names of all other files; names of the classes."""

    images: tuple[str, ...]
    others: tuple[str, ...]
    classes: tuple[str, ...]

    def labels(self) -> list[int]:
        """The class of each image, as an index into ``classes``."""
        index = {name: label for label, name in enumerate(self.classes)}
        return [index[_class_of(name)] for name in self.images]


def listing(source: Path) -> Listing:
    """What is in a folder or tar; ReproError for fewer than two class folders, for links and for unsafe names."""
    found = _folder_names(source) if source.is_dir() else [_plain(name) for name in archive.names(source)]
    shown = sorted(name for name in found if not _hidden(name))
    images = tuple(name for name in shown if name.lower().endswith(IMAGE_ENDINGS))
    for name, following in itertools.pairwise(images):
        if name == following:
            raise ReproError(f"{source}: {name!r} is in it twice")
    for name in images:
        if "/" not in name:
            raise ReproError(f"{source}: {name!r} lies in no class folder")
    classes = tuple(sorted({_class_of(name) for name in images}))
    if not images:
        raise ReproError(f"{source}: no class folder with images in it ({', '.join(IMAGE_ENDINGS)})")
    if len(classes) < 2:
        raise ReproError(
            f"{source}: one class folder with images, {classes[0]!r}; there must be at least two"
        )
    return Listing(images, tuple(name for name in shown if not name.lower().endswith(IMAGE_ENDINGS)), classes)


def decode(
    source: Path, found: Listing, size: int | None, target: Path, advance: Advance | None = None
) -> None:
    """Write the images of ``found`` to ``target``, an .npy file of uint8 (n, 3, h, w), red first.

    ``size``: pixels; crops each image to its central square and scales that, with antialiasing. Without it, all images
    must have one size. ReproError names a file that is not an image, has another size, or is a pickle.
    """
    rows = {name: row for row, name in enumerate(found.images)}
    shape: tuple[int, ...] | None = None
    first, start, written = "", 0, 0
    with target.open("wb") as file:
        for name, content in _contents(source, advance):
            if name not in rows:
                continue
            pixels = picture(content, size, f"{source}: {name!r}")
            if shape is None:
                shape, first = pixels.shape, name
                start = _write_header(file, (len(rows), *shape))
            elif pixels.shape != shape:
                raise ReproError(
                    f"{source}: {name!r} has {_extent(pixels.shape)} pixels where {first!r} has "
                    f"{_extent(shape)}; the option size (pixels) brings all images to one size"
                )
            file.seek(start + rows[name] * pixels.size)
            file.write(pixels.tobytes())
            written += 1
        if written != len(rows):
            raise ReproError(f"{source}: changed while it was read")
        file.flush()
        os.fsync(file.fileno())


def image_bytes(source: Path, found: Listing) -> int:
    """The number of bytes read while the images of ``found`` are decoded."""
    if not source.is_dir():
        return source.stat().st_size
    return sum((source / name).stat().st_size for name in (*found.images, *found.others))


def packed_pictures(
    name: str,
    variant: str,
    file: Download,
    shape: tuple[int, int, int],
    classes: tuple[str, ...],
    images: int,
    size: Any,
) -> Packed:
    """A pinned tar of class folders, its images in their own ``shape``, or scaled to ``size`` pixels."""
    size = checked_size(name, size)
    if size is not None and (3, size, size) != shape:
        variant, shape = f"{variant}, scaled to {size}x{size}", (3, size, size)

    def decode_all(source: Path, target: Path, advance: Advance) -> tuple[list[int], tuple[str, ...]]:
        found = listing(source)
        decode(source, found, size, target, advance)
        return found.labels(), found.classes

    def decided_by() -> dict[str, Any]:
        return {"decoder": decoder()}

    return Packed(name, variant, file, shape, classes, images, decode_all, decided_by)


def picture(content: bytes, size: int | None, where: str) -> npt.NDArray[np.uint8]:
    """One image file as uint8 (3, h, w), upright as its EXIF data says.

    Grey becomes three equal channels, transparency is dropped, and the first of several frames is taken.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content)) as opened:
                if opened.mode not in _EIGHT_BITS:
                    raise ReproError(f"{where} has more than 8 bits per channel (mode {opened.mode})")
                image = ImageOps.exif_transpose(opened).convert("RGB")
    except (ReproError, MemoryError):
        raise
    except UnidentifiedImageError as error:
        raise ReproError(f"{where} is no image") from error
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged content.
        raise ReproError(f"{where} cannot be decoded ({' '.join(str(error).split())})") from error
    if size is not None and image.size != (size, size):
        side = min(image.size)
        left, top = ((extent - side) // 2 for extent in image.size)
        square = (left, top, left + side, top + side)
        image = image.crop(square).resize((size, size), Image.Resampling.BICUBIC)
    return np.ascontiguousarray(np.asarray(image, np.uint8).transpose(2, 0, 1))


def decoder() -> str:
    """What decides the pixels besides the files: the versions of Pillow and its JPEG library."""
    import PIL
    from PIL import features

    return f"Pillow {PIL.__version__}, JPEG {features.version_codec('jpg')}"


def checked_size(name: str, size: Any) -> int | None:
    """The option ``size`` if it is valid; raises ReproError otherwise."""
    if size is None:
        return None
    if not isinstance(size, int) or isinstance(size, bool) or not 1 <= size <= LARGEST_SIZE:
        raise ReproError(
            f"{name}: size is {size!r}, must be a whole number of pixels from 1 to {LARGEST_SIZE}"
        )
    return size


def _contents(source: Path, advance: Advance | None) -> Iterator[tuple[str, bytes]]:
    """(name, content) of each file; those of a folder sorted by name."""
    if not source.is_dir():
        for name, content in archive.contents(source, advance):
            yield _plain(name), content
        return
    done = 0
    for name in sorted(_folder_names(source)):
        try:
            content = (source / name).read_bytes()
        except OSError as error:
            raise ReproError(f"{source / name}: cannot read ({error.strerror})") from error
        try:
            archive.refuse_pickle(name, content)
        except ReproError as error:
            raise ReproError(f"{source}: {error}") from error
        done += len(content)
        if advance is not None:
            advance(done)
        yield name, content


def _folder_names(folder: Path) -> list[str]:
    found, waiting = [], [""]
    while waiting:
        below = waiting.pop()
        try:
            entries = list(os.scandir(folder / below))
        except OSError as error:
            raise ReproError(f"{error.filename}: cannot read ({error.strerror})") from error
        for entry in entries:
            name = f"{below}{entry.name}"
            if _hidden(entry.name):
                continue
            if entry.is_symlink():
                raise ReproError(f"{folder}: {name!r} is a link; links are not followed")
            if entry.is_dir():
                waiting.append(f"{name}/")
            elif entry.is_file():
                found.append(name)
            else:
                raise ReproError(f"{folder}: {name!r} is neither a file nor a folder")
    return found


def _write_header(file: IO[bytes], shape: tuple[int, ...]) -> int:
    """Begin an .npy file of uint8; returns the offset at which its rows begin."""
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return file.tell()


def _plain(name: str) -> str:
    return PurePosixPath(name).as_posix()


def _hidden(name: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


def _class_of(name: str) -> str:
    return name.split("/")[-2]


def _extent(shape: tuple[int, ...]) -> str:
    return f"{shape[2]}x{shape[1]}"
