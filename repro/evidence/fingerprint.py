"""What evidence depends on: the code its runs import, their descriptions, the data; and whether it is current.

A module counts by its source without comments, docstrings and blank lines, so that explaining code makes no evidence
stale. Which modules count is found by following imports of ``repro`` from the function that does a phase's work and
from the pieces its runs name: a new file that nothing imports changes nothing. Profiles and parameters count by
value, through the runs they describe.
"""

import ast
import io
import json
import tokenize
from functools import cache
from pathlib import Path
from typing import Any

from repro import plugins
from repro.data import describe
from repro.errors import ReproError
from repro.evidence.table import checksum
from repro.experiments import Experiment, Phase
from repro.profiles import Profile, load_profile
from repro.runs import Data, digest

SCHEMA = 1
PACKAGE = Path(__file__).resolve().parent.parent

# These resolve names or report errors; what they resolve to is counted by itself.
_NEUTRAL = {"repro", "repro.errors", "repro.plugins", "repro.profiles"}


def evidence_folder(root: Path, profile_name: str) -> Path:
    """Where a profile's evidence lies."""
    return root / "reports" / profile_name / "evidence"


def evidence_path(root: Path, profile_name: str, experiment: str) -> Path:
    """An experiment's table; ``.fingerprint.json`` and ``.provenance.json`` stand beside it."""
    return evidence_folder(root, profile_name) / f"{experiment}.csv"


def _file(module: str) -> Path | None:
    path = PACKAGE.joinpath(*module.split(".")[1:])
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


def essence(source: str) -> str:
    """Source without comments, docstrings, blank lines and trailing spaces; the same under every Python."""
    lines = source.splitlines()
    dropped: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
            first = node.body[0]
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                dropped.update(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    kept = (line.rstrip() for number, line in enumerate(lines, start=1) if number not in dropped)
    return "\n".join(line for line in kept if line)


def _imports(module: str, source: str) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return {name for name in found if name.partition(".")[0] == "repro" and _file(name)}


@cache
def _module(module: str) -> tuple[str, frozenset[str]]:
    path = _file(module)
    if path is None:
        raise ReproError(f"{module}: no such module")
    source = path.read_text(encoding="utf-8")
    parents = {module.rsplit(".", i)[0] for i in range(1, module.count(".") + 1)}
    return digest(essence(source))[:16], frozenset(_imports(module, source) | parents)


def code(modules: set[str]) -> dict[str, str]:
    """Hash by module of everything that ``modules`` import from this package, themselves counted in."""
    seen: dict[str, str] = {}
    waiting = set(modules)
    while waiting:
        name = waiting.pop()
        if name in seen or name in _NEUTRAL:
            continue
        seen[name], imported = _module(name)
        waiting |= imported
    return dict(sorted(seen.items()))


def phase_fingerprint(profile: Profile, phase: Phase) -> dict[str, Any]:
    """What a phase's records depend on."""
    fleets = phase.fleets(profile)
    pieces = set().union(*(fleet.pieces() for fleet in fleets))
    modules = {phase.work.partition(":")[0]} | {plugins.module_name(kind, name) for kind, name in pieces}
    return {
        "runs": digest([fleet.id for fleet in fleets]),
        "code": code(modules),
        "data": _data(profile.dataset() if any(fleet.data for fleet in fleets) else None),
    }


def _data(data: Data | None) -> dict[str, Any] | None:
    if data is None:
        return None
    facts = describe(data.name, data.options)
    about = {"name": data.name, "limit": data.limit, "sha256": facts.checksum}
    return about | ({"options": data.options} if data.options else {})


def evidence_fingerprint(profile: Profile, name: str) -> dict[str, Any]:
    """What an experiment's table depends on."""
    experiment: Experiment = plugins.load("experiment", name).EXPERIMENT
    return {
        "schema": SCHEMA,
        "profile": profile.name,
        "experiment": name,
        "phases": {phase.name: phase_fingerprint(profile, phase) for phase in experiment.phases},
        "rows": code({plugins.module_name("experiment", name), "repro.evidence.table"}),
    }


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
    reasons = compare(stored, current)
    return f"{where}: stale: {'; '.join(reasons)}; `dvc repro` brings it up to date" if reasons else None


def compare(stored: dict[str, Any], current: dict[str, Any]) -> list[str]:
    """What differs between a stored fingerprint and the current one, in words; empty when nothing does."""
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
    changed |= _changed(stored["rows"], current["rows"])
    if changed:
        reasons.append(f"code changed: {', '.join(sorted(changed))}")
    return reasons


def _changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
