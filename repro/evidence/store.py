"""The store of finished fleets: outside DVC's outputs, ignored by git, so that a killed run loses one fleet at most.

An entry's key stands for everything its content depends on: the fleet's full description, the work, the code, the data
and PyTorch's version. An entry appears whole, by a rename, or not at all.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from repro.errors import ReproError
from repro.evidence.files import write_text
from repro.experiments import Phase
from repro.profiles import Profile
from repro.runs import Fleet, digest

RECORDS, WEIGHTS = "records.json", "weights.safetensors"


def key_of(profile: Profile, phase: Phase, fingerprint: dict[str, Any], fleet: Fleet) -> str:
    """The key of a fleet's outcome, which depends on that of the fleet whose weights it goes on from."""
    parts = [phase.work, fleet.id, fingerprint["code"], fingerprint["data"], profile.device]
    if phase.parent is not None:
        parts.append(phase.parent(profile, fleet).id)
    return digest([*parts, version("torch").partition("+")[0]])[:32]


@dataclass(frozen=True)
class Store:
    """Finished fleets below a project's ``.repro/store``."""

    root: Path

    @property
    def folder(self) -> Path:
        """Where the entries lie."""
        return self.root / ".repro" / "store"

    def entry(self, key: str) -> Path | None:
        """The folder of a finished fleet, or None."""
        path = self.folder / key
        return path if (path / RECORDS).is_file() else None

    def records(self, key: str) -> dict[str, Any]:
        """``records`` (one a run), ``seconds`` it took and the ``device``."""
        content: dict[str, Any] = json.loads((self.folder / key / RECORDS).read_text(encoding="utf-8"))
        return content

    @contextmanager
    def adding(self, key: str) -> Iterator[Path]:
        """A folder to fill; it becomes the entry when the block ends well, and vanishes when it does not."""
        beside = None
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            beside = Path(tempfile.mkdtemp(dir=self.folder, prefix=".new-"))
            yield beside
            if self.entry(key) is None:
                os.replace(beside, self.folder / key)
        except OSError as error:
            raise ReproError(
                f"{self.folder}: cannot write ({error.strerror}); what was finished before is kept"
            ) from error
        finally:
            if beside:
                shutil.rmtree(beside, ignore_errors=True)

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
            for leftover in self.folder.glob(".new-*"):
                shutil.rmtree(leftover, ignore_errors=True)
            yield
        finally:
            lock.release()
