"""Whole-file writes: beside the target, synced, then renamed, so that a reader never sees half a file; checksums."""

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from repro.errors import ReproError


def write_bytes(path: Path, content: bytes) -> None:
    """Replace ``path`` by ``content`` in one step; raises ReproError when it cannot be written."""
    beside = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(beside, 0o644)
        os.replace(beside, path)
    except OSError as error:
        raise ReproError(f"{path}: cannot write ({error.strerror}); nothing was changed") from error
    finally:
        if beside and os.path.exists(beside):
            os.unlink(beside)


def write_text(path: Path, text: str) -> None:
    """Replace ``path`` by UTF-8 ``text`` with Unix line endings, in one step."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Replace ``path`` by ``value`` as indented JSON with sorted keys, in one step."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def checksum(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
