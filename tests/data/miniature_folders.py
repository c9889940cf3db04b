"""Class folders of a few small images, as a folder and as a tar, written without the code under test."""

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image


def encoded(pixels: np.ndarray, form: str = "PNG", **how: object) -> bytes:
    """An image file of uint8 (h, w, 3), or (h, w) for grey."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form, **how)
    return file.getvalue()


def drawn(count: int, height: int = 6, width: int = 6, seed: int = 0) -> list[np.ndarray]:
    """Random images, uint8 (h, w, 3)."""
    draw = np.random.default_rng(seed)
    return [draw.integers(0, 256, (height, width, 3)).astype(np.uint8) for _ in range(count)]


def folder_of(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Files by name below a new folder."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def tar_of(path: Path, files: Mapping[str, bytes], mode: str = "w") -> Path:
    """Files by name in a tar, in the given order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path
