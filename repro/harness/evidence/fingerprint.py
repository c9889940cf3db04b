"""What evidence depends on (code its runs reach, descriptions, settings, data, packages), and whether it is current.

`repro.harness.evidence.definitions` says which code counts, and by what: all code reached by name from the function
that does a phase's work, from the pieces its runs name, and from the code that carries the runs out. Profiles and
parameters count by value: through the runs they describe, and through the experiment's settings, which its rows also
read.
"""

import json
import re
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from repro import plugins
from repro.data import describe
from repro.files import checksum
from repro.harness.evidence.definitions import Reference, definitions, module_of
from repro.harness.evidence.equivalence import resolved
from repro.harness.experiment import Experiment, Phase
from repro.harness.profile import Profile, load_profile
from repro.harness.runs import Data, digest

SCHEMA = 2
PACKAGES = ("torch", "numpy", "scipy", "scikit-learn", "numba")

# These resolve names, report errors, and print and keep what they are given; what a name resolves to counts by itself.
_NEUTRAL = frozenset(
    {
        "repro.errors",
        "repro.files",
        "repro.plugins",
        "repro.harness.profile",
        "repro.harness.reading",
        "repro.harness.settings",
        "repro.reading",
        "repro.words",
        "repro.harness.lifetime",
        "repro.progress",
        "repro.harness.evidence.definitions",
        "repro.harness.evidence.equivalence",
        "repro.harness.evidence.fingerprint",
        "repro.harness.evidence.keys",
        "repro.harness.evidence.provenance",
    }
)
_CARRIED_OUT = (
    ("repro.harness.task", "train_task"),
    ("repro.harness.task", "begin_worker"),
    ("repro.harness.workers", "Workers"),
    ("repro.harness.execute", "run_phases"),
)
_CODE_CHANGED = "code changed"

Pieces = frozenset[tuple[str, str]]


def evidence_folder(root: Path, profile_name: str) -> Path:
    """The folder of a profile's evidence."""
    return root / "reports" / profile_name / "evidence"


def evidence_path(root: Path, profile_name: str, experiment: str) -> Path:
    """An experiment's table; ``.fingerprint.json`` and ``.provenance.json`` stand beside it."""
    return evidence_folder(root, profile_name) / f"{experiment}.csv"


def packages() -> dict[str, str]:
    """Versions of the installed packages that outcomes depend on, without local labels such as ``+cpu``."""
    return {name: installed for name in PACKAGES if (installed := _version(name))}


@cache
def _version(name: str) -> str:
    try:
        return version(name).partition("+")[0]
    except PackageNotFoundError:
        return ""


def _public(module: str) -> tuple[Reference, ...]:
    return tuple((module, name) for name in module_of(module).public)


@cache
def code(work: str, pieces: Pieces, kinds: frozenset[type]) -> dict[str, str]:
    """Hash by ``module:definition`` of the code that decides the outcome of runs of these kinds naming these pieces.

    ``work`` is ``module:function``. Everything public in a piece counts, as it is looked up by name.
    """
    module, _, function = work.partition(":")
    parts = [_reached(((module, function), *_CARRIED_OUT))]
    parts += [_reached(((kind.__module__, kind.__qualname__.partition(".")[0]),)) for kind in kinds]
    parts += [_reached(_public(plugins.module_name(kind, name))) for kind, name in pieces]
    return dict(sorted((name, own) for part in parts for name, own in part.items()))


@cache
def _reached(roots: tuple[Reference, ...]) -> dict[str, str]:
    return definitions(roots, _NEUTRAL)


def is_covered(piece: tuple[str, str], among: dict[str, str]) -> bool:
    """Whether everything public in a piece is part of such code."""
    return all(f"{module}:{name}" in among for module, name in _public(plugins.module_name(*piece)))


def phase_fingerprint(profile: Profile, phase: Phase) -> dict[str, Any]:
    """What a phase's records depend on."""
    runs = [run for fleet in phase.planned(profile) for run in fleet.runs]
    pieces = frozenset[tuple[str, str]]().union(*(run.pieces() for run in runs))
    return {
        "runs": digest(sorted({run.id for run in runs})),
        "code": code(phase.work, pieces, frozenset(map(type, runs))),
        "data": data_facts(next((run.data for run in runs if run.data), None)),
    }


def data_facts(data: Data | None) -> dict[str, Any] | None:
    """What in a dataset decides outcomes: name, limit, checksum, options."""
    if data is None:
        return None
    facts = describe(data.name, data.options)
    about = {"name": data.name, "limit": data.limit, "sha256": facts.checksum}
    return about | ({"options": data.options} if data.options else {})


def evidence_fingerprint(profile: Profile, name: str) -> dict[str, Any]:
    """What an experiment's table depends on."""
    experiment: Experiment = plugins.load("experiment", name).EXPERIMENT
    roots = ((plugins.module_name("experiment", name), "EXPERIMENT"), ("repro.harness.evidence.table", ""))
    return {
        "schema": SCHEMA,
        "profile": profile.name,
        "experiment": name,
        "settings": digest(profile.settings(name).model_dump(mode="json")),
        "packages": packages(),
        "phases": {phase.name: phase_fingerprint(profile, phase) for phase in experiment.phases},
        "rows": _reached(roots),
    }


def phase_digest(fingerprint: dict[str, Any], phase: str) -> str:
    """A digest of what the records of one phase depend on, from an experiment's fingerprint."""
    return digest([fingerprint["schema"], fingerprint["packages"], fingerprint["phases"][phase]])


def staleness(root: Path, profile_name: str, experiment: str) -> str | None:
    """None when the evidence is current; otherwise one line that says why it is not."""
    path = evidence_path(root, profile_name, experiment)
    beside = path.with_suffix(".fingerprint.json")
    where = path.relative_to(root)
    if not path.exists() or not beside.exists():
        return f"{where}: missing; `dvc repro` makes it"
    try:
        stored = json.loads(beside.read_text(encoding="utf-8"))
        table = stored.pop("table")
    except (ValueError, KeyError, AttributeError, TypeError):
        return f"{beside.relative_to(root)}: not a fingerprint; `dvc repro` makes it anew"
    if checksum(path) != table:
        return f"{where}: edited since it was made; `git checkout` it or run `dvc repro`"
    current = evidence_fingerprint(load_profile(profile_name, root), experiment)
    reasons = compare(stored, resolved(root, profile_name, experiment, current))
    if not reasons:
        return None
    mends = "`dvc repro` brings it up to date"
    if is_others(current):
        mends = f"`repro run {experiment}` brings it up to date"
    elif len(reasons) == 1 and reasons[0].startswith(_CODE_CHANGED):
        mends = "`repro attest` proves it means the same, or `dvc repro` makes it anew"
    return f"{where}: stale: {'; '.join(reasons)}; {mends}"


def is_others(fingerprint: dict[str, Any]) -> bool:
    """Whether some of the code in a fingerprint is not this package's, but of a paper of a user's own."""
    reached = [fingerprint["rows"], *(phase["code"] for phase in fingerprint["phases"].values())]
    return any(re.match(r"repro\b", name) is None for own in reached for name in own)


def compare(stored: dict[str, Any], current: dict[str, Any]) -> list[str]:
    """How a stored fingerprint differs from the current one, in words; empty if it does not."""
    if stored.get("schema") != current["schema"]:
        return [f"schema {stored.get('schema')} is not {current['schema']}"]
    reasons = []
    if set(stored["phases"]) != set(current["phases"]):
        reasons.append("other phases")
    changed: set[str] = set()
    for name, phase in current["phases"].items():
        before = stored["phases"].get(name, phase)
        if before["runs"] != phase["runs"]:
            reasons.append(f"parameters of phase {name} changed")
        if before["data"] != phase["data"]:
            reasons.append("data changed")
        changed |= _changed(before["code"], phase["code"])
    if stored["settings"] != current["settings"] and not reasons:
        reasons.append("parameters changed")
    changed |= _changed(stored["rows"], current["rows"])
    if changed:
        reasons.append(f"{_CODE_CHANGED}: {', '.join(_place(name) for name in sorted(changed))}")
    return reasons + _other_packages(stored["packages"], current["packages"])


def _changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def _place(name: str) -> str:
    """``repro/training/fleet.py: train`` for a definition of a module."""
    module, _, definition = name.partition(":")
    return f"{module.replace('.', '/')}.py: {definition}"


def _other_packages(before: dict[str, str], after: dict[str, str]) -> list[str]:
    return [
        f"made with {name} {before.get(name, 'absent')}, here it is {after.get(name, 'absent')}"
        for name in sorted(_changed(before, after))
    ]
