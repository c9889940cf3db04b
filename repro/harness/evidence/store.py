"""The store of finished runs: outside DVC's outputs and ignored by git, so that a killed program loses only one run.

An entry's key (`repro.harness.evidence.keys`) is a digest of everything its content depends on. An entry is a JSON
file, with the weights beside it if a phase keeps them. The weights are written first: the entry exists once the JSON
does, which appears whole, by a rename, or not at all. A file torn by a power cut is not valid JSON, and counts as
absent.
"""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from repro.errors import ReproError
from repro.files import write_text

RECORD, WEIGHTS = ".json", ".safetensors"
_NEW = ".new-"


@dataclass(frozen=True)
class Store:
    """Finished runs below a project's ``.repro/store``, in folders by the first two characters of their keys."""

    root: Path

    @property
    def folder(self) -> Path:
        """The folder of the entries."""
        return self.root / ".repro" / "store"

    def _path(self, key: str, suffix: str) -> Path:
        return self.folder / key[:2] / f"{key}{suffix}"

    def weights(self, key: str) -> Path:
        """The file of an entry's weights."""
        return self._path(key, WEIGHTS)

    def finished(self, with_weights: bool = False) -> set[str]:
        """Keys of all entries, or of those that hold weights."""
        stems: dict[str, set[str]] = {RECORD: set(), WEIGHTS: set()}
        for path in self._files():
            stem, suffix = os.path.splitext(path.name)
            if suffix in stems and not stem.startswith("."):
                stems[suffix].add(stem)
        return stems[RECORD] & stems[WEIGHTS] if with_weights else stems[RECORD]

    def _files(self) -> Iterator["os.DirEntry[str]"]:
        try:
            folders = [entry for entry in os.scandir(self.folder) if len(entry.name) == 2]
        except FileNotFoundError:
            return
        for folder in folders:
            with os.scandir(folder) as entries:
                yield from entries

    def entry(self, key: str) -> dict[str, Any] | None:
        """A run's ``record``, the ``seconds`` it took, ``device`` and the dataset's ``variant``; None if absent."""
        try:
            content = json.loads(self._path(key, RECORD).read_bytes())
        except (OSError, ValueError):
            return None
        return content if isinstance(content, dict) and "record" in content else None

    def add(self, key: str, entry: dict[str, Any], weights: bytes | None = None) -> None:
        """Put an entry into the store, with its weights as safetensors; raises ReproError when it cannot be written."""
        text = json.dumps(entry, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        try:
            self._path(key, RECORD).parent.mkdir(parents=True, exist_ok=True)
            if weights is not None:
                # Unlike torn JSON, torn weights would go unnoticed.
                _write(self.weights(key), weights, synced=True)
            _write(self._path(key, RECORD), text.encode("utf-8"), synced=False)
        except OSError as error:
            raise ReproError(
                f"{self.folder}: cannot write ({error.strerror}); what was finished before is kept"
            ) from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the store for one training process at a time; raises ReproError when another holds it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lock, owner = FileLock(self.folder / "lock"), self.folder / "owner"
        try:
            lock.acquire(timeout=0)
        except Timeout:
            pid = owner.read_text(encoding="utf-8") if owner.exists() else "unknown"
            raise ReproError(
                f"another run (process {pid}) is training in {self.folder}; wait for it, or stop it first"
            ) from None
        try:
            write_text(owner, str(os.getpid()))
            for leftover in self.folder.glob(f"??/{_NEW}*"):
                leftover.unlink(missing_ok=True)
            yield
        finally:
            lock.release()


def _write(path: Path, content: bytes, *, synced: bool) -> None:
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix=_NEW)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            if synced:
                file.flush()
                os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise
