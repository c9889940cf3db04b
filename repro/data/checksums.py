"""SHA-256 of large files and folders, remembered for as long as their sizes and times do not change."""

import hashlib
import json
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from repro.errors import ReproError
from repro.files import checksum, write_json

_SETTLED_NS = 2_000_000_000
"""A file that changed less than this ago may change again without its times showing it."""


def file_checksum(path: Path, memory: Path) -> str:
    """SHA-256 (hex) of a file; ``memory`` is a small file that remembers it."""
    return _remembered([path], memory, lambda: checksum(path))


def folder_checksum(folder: Path, names: Iterable[str], memory: Path) -> str:
    """SHA-256 (hex) over the sorted ``names`` of files below ``folder`` and the SHA-256 of each file's content."""
    ordered = sorted(names)

    def listing() -> str:
        lines = (f"{checksum(folder / name)}  {name}\n" for name in ordered)
        return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()

    return _remembered([folder / name for name in ordered], memory, listing)


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in ``path``; empty if it cannot be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _remembered(paths: list[Path], memory: Path, calculate: Any) -> str:
    try:
        before, settled = _stamp(paths)
        known = read_json(memory)
        if known.get("stamp") == before and isinstance(known.get("sha256"), str):
            return str(known["sha256"])
        sha256 = str(calculate())
        if settled and _stamp(paths)[0] == before:
            with suppress(ReproError):
                write_json(memory, {"stamp": before, "sha256": sha256})
    except OSError as error:
        raise ReproError(f"{error.filename}: cannot read ({error.strerror})") from error
    return sha256


def _stamp(paths: list[Path]) -> tuple[str, bool]:
    """A digest of the sizes and times of all files, and whether the newest of them is old enough to trust."""
    digest, newest = hashlib.sha256(), 0
    for path in paths:
        found = path.stat()
        newest = max(newest, found.st_mtime_ns, found.st_ctime_ns)
        facts = [os.fspath(path), found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]
        digest.update(json.dumps(facts).encode())
    return digest.hexdigest(), newest + _SETTLED_NS < time.time_ns()
