"""Where a finished phase is kept for the stages after it: records by run, and how they were made."""

import json
from pathlib import Path
from typing import Any

from repro.errors import ReproError

PHASE_RECORDS, ABOUT = "records.json", "about.json"


def fetched_path(root: Path, profile: str) -> Path:
    """The file that marks a profile's dataset as present."""
    return root / "data" / "fetched" / f"{profile}.json"


def phase_folder(root: Path, profile: str, experiment: str, phase: str) -> Path:
    """The folder of a phase, an output of its DVC stage."""
    return root / "data" / "runs" / profile / experiment / phase


def read_phase(
    root: Path, profile: str, experiment: str, phase: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """(records by run id, about) of a finished phase."""
    folder = phase_folder(root, profile, experiment, phase)
    try:
        records, about = (
            json.loads((folder / part).read_text(encoding="utf-8")) for part in (PHASE_RECORDS, ABOUT)
        )
    except FileNotFoundError:
        raise ReproError(
            f"{folder.relative_to(root)}: not there; `repro run {experiment}` makes it"
        ) from None
    return records, about
