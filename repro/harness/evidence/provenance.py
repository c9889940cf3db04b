"""Where evidence came from: commit, data, packages, device, time. The only part of a report that differs by run."""

import json
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from repro.errors import ReproError
from repro.harness.machine import processor

PACKAGES = ("torch", "numpy", "scipy", "scikit-learn", "dvc", "safetensors")
SCHEMA = 1


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def provenance(
    root: Path, data: dict[str, Any] | None, abouts: list[dict[str, Any]], *, others: bool = False
) -> dict[str, Any]:
    """How a table was made; ``abouts`` has one entry per phase: device, workers, threads and seconds.

    ``others``: a paper of a user's own took part, so that changes in ``papers`` count too.
    """
    own = ("repro", "dvc.yaml", *(("papers",) if others else ()))
    changed = _git(root, "status", "--porcelain", "--", *own)
    return {
        "schema": SCHEMA,
        "commit": _git(root, "rev-parse", "HEAD"),
        "dirty": bool(changed),
        "made": datetime.now(UTC).date().isoformat(),
        "device": ", ".join(sorted({about["device"] for about in abouts})),
        "threads": max(about["threads"] for about in abouts),
        "workers": max(about["workers"] for about in abouts),
        "seconds": round(sum(about["seconds"] for about in abouts), 1),
        "python": platform.python_version(),
        "processor": processor(),
        "platform": f"{platform.system()} {platform.machine()}",
        "packages": {name: version(name) for name in PACKAGES},
        "data": data,
    }


def parse_provenance(content: bytes, where: str) -> dict[str, Any]:
    """The provenance in a file's bytes; ReproError, beginning with ``where``, if a required field is missing."""
    try:
        read = json.loads(content.decode("utf-8"))
        known = {field: read[field] for field in ("schema", "dirty", "made", "device", "seconds")}
    except (ValueError, KeyError, TypeError):
        raise ReproError(f"{where}: not a provenance") from None
    if known["schema"] != SCHEMA:
        raise ReproError(f"{where}: schema {known['schema']} is not {SCHEMA}")
    if not isinstance(known["dirty"], bool) or not isinstance(read.get("commit"), str | None):
        raise ReproError(f"{where}: does not say which commit made it")
    return dict(read)
