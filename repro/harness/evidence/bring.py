"""Bring evidence made elsewhere, such as on a GPU server, into this project: all of a folder, or nothing."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repro.errors import ReproError
from repro.files import write_bytes
from repro.harness.evidence.equivalence import resolved
from repro.harness.evidence.fingerprint import compare, evidence_fingerprint, evidence_folder
from repro.harness.evidence.provenance import parse_provenance
from repro.harness.evidence.table import read_table
from repro.harness.profile import Profile

SUFFIXES = (".csv", ".fingerprint.json", ".provenance.json")


@dataclass(frozen=True)
class Brought:
    """An experiment's evidence elsewhere: its files by suffix, read once and checked."""

    experiment: str
    files: dict[str, bytes]
    source: str

    def line(self, done: str) -> str:
        """What was done with it, and where it comes from."""
        return f"{self.experiment}: {done}; {self.source}"


def bring(root: Path, profile: Profile, folder: Path, *, dirty: bool = False, replace: bool = False) -> str:
    """Copy every table of ``folder`` and the files beside it into the project, and say what was brought.

    ``folder`` holds a profile's evidence, or has a folder ``evidence`` that does. Raises ReproError, and changes
    nothing, when one of the tables is incomplete, was not made by this checkout's code, parameters and data for this
    profile, comes from uncommitted code (unless ``dirty``), or differs from existing evidence (unless ``replace``).
    """
    source = _evidence_in(folder)
    names = sorted({_experiment(path) for path in source.iterdir() if _experiment(path)})
    if not names:
        raise ReproError(f"{folder}: no evidence in it (<experiment>.csv with .fingerprint.json beside it)")
    found = _all(names, lambda name: _checked(root, profile, source, name, dirty))
    target = evidence_folder(root, profile.name)
    same = {each.experiment: _is_same(target, each) for each in found}
    changed = [each for each in found if not same[each.experiment]]
    if not replace:
        _all([each.experiment for each in changed], lambda name: _refuse_other(target, source, name))
    if changed:
        _write(target, changed)
    lines = [each.line("the same is here already" if same[each.experiment] else "brought") for each in found]
    return "\n".join([*lines, _what_follows(root, profile)])


def _evidence_in(folder: Path) -> Path:
    if not folder.is_dir():
        raise ReproError(f"{folder}: no such folder")
    return folder / "evidence" if (folder / "evidence").is_dir() else folder


def _experiment(path: Path) -> str:
    """The experiment that a file belongs to; empty for a file that does not belong to evidence."""
    return next((path.name.removesuffix(suffix) for suffix in SUFFIXES if path.name.endswith(suffix)), "")


def _all(names: list[str], check: Callable[[str], Any]) -> list[Any]:
    """What ``check`` returns for each name; ReproError describes the first problem and counts the others."""
    results, problems = [], {}
    for name in names:
        try:
            results.append(check(name))
        except ReproError as error:
            problems[name] = str(error)
    if problems:
        first, *others = problems
        more = f"; wrong too: {', '.join(others)}" if others else ""
        raise ReproError(f"{problems[first]}{more}; nothing was brought")
    return results


def _checked(root: Path, profile: Profile, source: Path, name: str, dirty: bool) -> Brought:
    files = {}
    for suffix in SUFFIXES:
        path = source / f"{name}{suffix}"
        try:
            files[suffix] = path.read_bytes()
        except OSError as error:
            raise ReproError(f"{path}: cannot be read ({error.strerror})") from None
    table, beside = source / f"{name}.csv", source / f"{name}.fingerprint.json"
    stored = _json(files[".fingerprint.json"], beside)
    if name in profile.leaves_out:
        if stored != {"left out": profile.leaves_out[name]}:
            raise ReproError(f"{table}: profile {profile.name} leaves {name} out")
        return Brought(name, files, f"left out: {profile.leaves_out[name]}")
    if name not in profile.experiments:
        raise ReproError(f"{table}: profile {profile.name} has no experiment {name!r}")
    if hashlib.sha256(files[".csv"]).hexdigest() != stored.pop("table", None):
        raise ReproError(f"{table}: not the table that its fingerprint was made for")
    if stored.get("profile") != profile.name:
        of = stored.get("profile")
        raise ReproError(f"{beside}: of profile {of}, not {profile.name}; --profile names the right one")
    if stored.get("experiment") != name:
        raise ReproError(f"{beside}: of experiment {stored.get('experiment')}, not {name}")
    try:
        reasons = compare(stored, resolved(root, profile.name, name, evidence_fingerprint(profile, name)))
    except (KeyError, TypeError, AttributeError):
        raise ReproError(f"{beside}: not a fingerprint") from None
    if reasons:
        raise ReproError(f"{table}: stale here: {'; '.join(reasons)}")
    if not len(read_table(table)):
        raise ReproError(f"{table}: no rows")
    return Brought(
        name, files, _origin(files[".provenance.json"], table.with_suffix(".provenance.json"), dirty)
    )


def _json(content: bytes, where: Path) -> dict[str, Any]:
    try:
        read = json.loads(content.decode("utf-8"))
    except ValueError:
        read = None
    if not isinstance(read, dict):
        raise ReproError(f"{where}: not a fingerprint")
    return read


def _origin(content: bytes, where: Path, dirty: bool) -> str:
    made = parse_provenance(content, str(where))
    commit, on = made.get("commit"), f"on {made['device']}, {made['made']}"
    if commit and not made["dirty"]:
        return f"from commit {commit[:12]}, {on}"
    why = f"from uncommitted changes to commit {commit[:12]}" if commit else "from code outside of git"
    if not dirty:
        raise ReproError(f"{where}: made {why}; --dirty brings it all the same")
    return f"{why}, {on}"


def _is_same(target: Path, brought: Brought) -> bool:
    """Whether the same table with the same fingerprint is already there, complete; its provenance may differ."""
    files = {suffix: target / f"{brought.experiment}{suffix}" for suffix in SUFFIXES}
    if not all(path.is_file() for path in files.values()):
        return False
    return all(
        files[suffix].read_bytes() == brought.files[suffix] for suffix in (".csv", ".fingerprint.json")
    )


def _refuse_other(target: Path, source: Path, name: str) -> None:
    for suffix in SUFFIXES:
        here, there = target / f"{name}{suffix}", source / f"{name}{suffix}"
        if here.is_file() and here.read_bytes() != there.read_bytes():
            raise ReproError(f"{here}: not the one of {source}; --replace puts that in its place")


def _write(target: Path, among: list[Brought]) -> None:
    """Write all files beside the evidence first, so that a full disk changes nothing; then rename them into place."""
    files = {f"{each.experiment}{suffix}": each.files[suffix] for each in among for suffix in SUFFIXES}
    beside = None
    try:
        target.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(dir=target.parent, prefix=".bring-"))
        for name, content in files.items():
            write_bytes(beside / name, content)
        for name in files:
            os.replace(beside / name, target / name)
    except OSError as error:
        raise ReproError(f"{target}: cannot write ({error.strerror})") from None
    finally:
        if beside:
            shutil.rmtree(beside, ignore_errors=True)


def _what_follows(root: Path, profile: Profile) -> str:
    named = f"--profile {profile.name}"
    gate = f"`pytest claims/ {named}`"
    expected = Path("claims", "expected", f"{profile.name}.yaml")
    if not (root / expected).is_file():
        gate += f" (once {expected} says what to expect)"
    return f"now: `repro claims {named}`, `repro report {named}`, {gate}"
