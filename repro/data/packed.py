"""Datasets that consist of one pinned archive, decoded once beside it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from repro.data import Dataset, Indices, raw_folder
from repro.data.archive import Advance
from repro.data.checksums import file_checksum
from repro.data.datasets import Download
from repro.data.decoded import Decoded, decoded
from repro.errors import ReproError
from repro.progress import Progress, Say, say_on_stderr

Outcome = TypeVar("Outcome")

Decode = Callable[[Path, Path, Advance], tuple[list[int], tuple[str, ...]]]
"""Writes the images of the archive (first) to a path (second); returns the labels and the classes' names."""


@dataclass(frozen=True)
class Packed:
    """One archive: what it must hold, and how it is decoded; ``decided_by()`` says what else decides the pixels."""

    name: str
    variant: str
    file: Download
    shape: tuple[int, int, int]
    classes: tuple[str, ...]
    images: int
    decode: Decode
    decided_by: Callable[[], dict[str, Any]]

    def prepare(self, root: Path, say: Say = say_on_stderr) -> Decoded:
        """The decoded images, made first if need be; raises ReproError when the archive is missing or wrong."""
        folder = raw_folder(root, self.name)
        path = folder / self.file.name
        if not path.is_file():
            raise ReproError(f"{self.name}: not fetched; {how_to_fetch(self.name, self.file)}")
        actual = file_checksum(path, folder / f".{self.file.name}.checksum.json")
        if actual != self.file.sha256:
            raise ReproError(
                f"{path}: SHA-256 is {actual}, expected {self.file.sha256}; "
                f"`repro fetch {self.name}` fetches it again"
            )

        def make(target: Path) -> tuple[list[int], tuple[str, ...]]:
            return with_progress(
                self.name, path.stat().st_size, say, lambda go: self.decode(path, target, go)
            )

        size = f"{self.shape[2]}x{self.shape[1]}"
        found = decoded(folder, f"decoded-{size}", {"source": actual, **self.decided_by()}, make)
        if found.images.shape != (self.images, *self.shape) or found.classes != self.classes:
            height, width = found.images.shape[2:]
            raise ReproError(
                f"{path}: holds {len(found.images)} images of {width}x{height} pixels in "
                f"{len(found.classes)} classes, expected {self.images} of {size} in {len(self.classes)}"
            )
        return found

    def load(self, root: Path, rows: Indices | None) -> Dataset:
        """The chosen rows, or all."""
        return self.prepare(root).dataset(self.name, self.variant, self.file.sha256, rows)


def with_progress(name: str, total: int, say: Say, work: Callable[[Advance], Outcome]) -> Outcome:
    """Do ``work``, reporting how much of ``total`` bytes it has read, and when it is done."""
    progress = Progress(f"{name}: decoding", "B", say)
    before = 0

    def advance(done: int) -> None:
        nonlocal before
        if not before:  # the archive is scanned first, which reports no progress
            progress.begin(total)
        progress.advance(done - before)
        before = done

    try:
        outcome = work(advance)
    finally:
        progress.end()
    say(f"{name}: images decoded, once for all")
    return outcome


def how_to_fetch(name: str, file: Download) -> str:
    """The command that fetches a dataset."""
    if file.sources:
        return f"`repro fetch {name}` (with `--mirror FOLDER_OR_URL` where no public source is reached)"
    return f"`repro fetch {name} --mirror FOLDER_OR_URL`, where a mirror holds {file.path}"
