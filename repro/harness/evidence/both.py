"""The same runs under two versions of the code, trained in two processes (one in an old working tree), and compared."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from repro import plugins
from repro.errors import ReproError
from repro.files import write_json
from repro.harness.evidence.committed import worktree
from repro.harness.evidence.definitions import PACKAGE
from repro.harness.evidence.fingerprint import evidence_path, phase_digest
from repro.harness.evidence.moved import index, moved
from repro.harness.evidence.phases import read_phase
from repro.harness.evidence.table import read_table, table
from repro.harness.evidence.witnesses import Chosen
from repro.harness.experiment import Experiment
from repro.harness.profile import Profile

Outcome = dict[str, Any]
"""What `repro.harness.evidence.witnessing` writes; with the later one, what was only ``moved``."""


def by_both(root: Path, profile: Profile, commit: str, chosen: Chosen) -> tuple[Outcome, Outcome]:
    """What the chosen runs give under a commit's code and under the present code, both trained at the same time."""
    with worktree(root, commit) as tree, tempfile.TemporaryDirectory(prefix="repro-attest-") as folder:
        runs = Path(folder, "runs.json")
        write_json(runs, chosen)
        trees = {"before": tree, "after": PACKAGE.parent}
        started = {
            which: _start(root, where, profile, runs, Path(folder, which)) for which, where in trees.items()
        }
        try:
            found = {
                which: _outcome(process, Path(folder, which), trees[which])
                for which, process in started.items()
            }
            found["after"]["moved"] = moved(*(index(where / "repro") for where in trees.values()))
            return found["before"], found["after"]
        finally:
            for process in started.values():
                process.kill()
                process.wait()


def _start(root: Path, tree: Path, profile: Profile, runs: Path, folder: Path) -> "subprocess.Popen[str]":
    folder.mkdir()
    environment = os.environ | {"PYTHONPATH": str(tree)}
    command = [sys.executable, "-P", "-m", "repro", "witness", "--profile", profile.name]
    with open(folder / "log", "w", encoding="utf-8") as log:
        return subprocess.Popen(
            [*command, "--runs", str(runs), "--out", str(folder / "out.json")],
            cwd=root,
            env=environment,
            stdout=log,
            stderr=log,
            text=True,
        )


def _outcome(process: "subprocess.Popen[str]", folder: Path, tree: Path) -> Outcome:
    status = process.wait()
    if status:
        said = (folder / "log").read_text(encoding="utf-8").strip().splitlines() or [f"exit status {status}"]
        raise ReproError(f"attest: the runs failed under the code {folder.name}: {said[-1]}")
    found: Outcome = json.loads((folder / "out.json").read_text(encoding="utf-8"))
    if not Path(found["package"]).samefile(tree / "repro"):
        raise ReproError(
            f"attest: the runs {folder.name} used the code in {found['package']}, not the intended one"
        )
    return found


def differences(before: Any, after: Any, field: str = "") -> Iterator[str]:
    """``field value -> value`` wherever two values of plain parts differ when written out (1 and 1.0 differ)."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name in sorted(before.keys() | after.keys()):
            yield from differences(before.get(name), after.get(name), f"{field}.{name}" if field else name)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, pair in enumerate(zip(before, after, strict=True)):
            yield from differences(*pair, f"{field}[{number}]")
    elif json.dumps(before) != json.dumps(after):
        yield f"{field} {json.dumps(before)} -> {json.dumps(after)}"


def runs_differ(name: str, before: Outcome, after: Outcome) -> Iterator[str]:
    """One line per field of a record, and per weight, in which a run of an experiment differs."""
    for run, outcome in before["experiments"][name]["outcomes"].items():
        other = after["experiments"][name]["outcomes"][run]
        for part in ("record", "weights"):  # a record says more than a hash does
            for line in differences(outcome[part], other[part]):
                yield f"{name} {run}: {line}"


def rows_differ(root: Path, profile: Profile, name: str, stored: dict[str, Any]) -> Iterator[str]:
    """One line per cell in which the rows that the present code computes from all records differ from the evidence.

    Raises ReproError when the records that the evidence was made from are missing.
    """
    experiment: Experiment = plugins.load("experiment", name).EXPERIMENT
    records = {}
    for phase in experiment.phases:
        records[phase.name], about = read_phase(root, profile.name, name, phase.name)
        if about["fingerprint"] != phase_digest(stored, phase.name):
            raise ReproError(f"{name} {phase.name}: its records are not those of the evidence")
    made, kept = table(experiment.rows(profile, records)), read_table(evidence_path(root, profile.name, name))
    if made.columns != kept.columns or len(made) != len(kept):
        yield f"{name}: columns or number of rows"
        return
    for row, other in zip(kept, made, strict=True):
        for line in differences(row, other):
            yield f"{name} row {row.get('run', '')}: {line}"
