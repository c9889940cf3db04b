"""Your own images: any folder or tar of class folders, named by the option ``path``.

In a profile: ``data: {name: class_folders, options: {path: pictures.tar, size: 64}}``. ``path`` is relative to the
project. An image's class is the name of the folder it lies in (``daisy/1.jpg``, ``train/daisy/1.jpg``); classes and
images are sorted by name, so a folder and a tar of it are the same data. Grey images become colour. ``size`` (pixels)
crops each image to its central square and scales it; without it, all images must have one size. The first use decodes
the images into the project's folder of raw data.
"""

import hashlib
from pathlib import Path
from typing import Any

from repro.data import Dataset, Indices, raw_folder
from repro.data.checksums import file_checksum, folder_checksum
from repro.data.datasets import Download, Facts, Options
from repro.data.decoded import Decoded, decoded
from repro.data.packed import with_progress
from repro.data.pictures import Listing, checked_size, decode, decoder, image_bytes, listing
from repro.errors import ReproError
from repro.progress import Say, say_on_stderr

FILES: tuple[Download, ...] = ()
OPTIONS: dict[str, Any] = {"path": None, "size": None}


def describe(root: Path, options: Options) -> Facts:
    """Facts about the images, decoded the first time; the checksum is the tar's own, or over a folder's images."""
    found, sha256 = _prepared(root, options, say_on_stderr)
    channels, height, width = found.images.shape[1:]
    return Facts((channels, height, width), found.classes, len(found.images), sha256)


def prepare(root: Path, options: Options, say: Say) -> None:
    """Decode the images, unless already done."""
    found, _ = _prepared(root, options, say)
    say(f"class_folders: {len(found.images)} images of {len(found.classes)} classes in {options['path']}")


def load(root: Path, options: Options, rows: Indices | None = None) -> Dataset:
    """The images sorted by name."""
    found, sha256 = _prepared(root, options, say_on_stderr)
    variant = f"own images of {Path(options['path']).name}"
    if options["size"] is not None:
        variant += f", scaled to {options['size']}x{options['size']}"
    return found.dataset("class_folders", variant, sha256, rows)


def _prepared(root: Path, options: Options, say: Say) -> tuple[Decoded, str]:
    size, source = checked_size("class_folders", options["size"]), _source(root, options["path"])
    place = hashlib.sha256(str(source.resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:16]
    folder = raw_folder(root, "class_folders") / place
    memory = folder / ".checksum.json"
    found: Listing | None = None
    if source.is_dir():
        found = listing(source)
        sha256 = folder_checksum(source, found.images, memory)
    else:
        sha256 = file_checksum(source, memory)

    def make(target: Path) -> tuple[list[int], tuple[str, ...]]:
        inside = found or listing(source)
        if inside.others:
            shown = ", ".join(inside.others[:3]) + (", ..." if len(inside.others) > 3 else "")
            say(f"class_folders: left out as no images by name: {len(inside.others)} files ({shown})")
        total = image_bytes(source, inside)
        with_progress(
            "class_folders", total, say, lambda advance: decode(source, inside, size, target, advance)
        )
        return inside.labels(), inside.classes

    name = "decoded" if size is None else f"decoded-{size}x{size}"
    made_of = {"source": sha256, "decoder": decoder()}
    return decoded(folder, name, made_of, make), sha256


def _source(root: Path, path: Any) -> Path:
    if not isinstance(path, str) or not path:
        raise ReproError(f"class_folders: path is {path!r}, must name a folder or tar of class folders")
    source = root / Path(path).expanduser()
    if not source.exists():
        raise ReproError(f"class_folders: path: {path}: no such folder or tar")
    return source
