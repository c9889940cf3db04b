"""Proof instead of retraining: some runs had equal outcomes under the evidence's code and the present code.

For evidence that is stale only because code changed. Witnesses are trained in a working tree of the commit that made
the evidence and in the present tree, on this machine, without the store. Records and weights must be the same bytes,
and every definition that changed must have been executed, before and after, unless it was only moved. A change of
``rows`` is proved in full: they are recomputed from all records, if these are here, and must equal the evidence's
table.
"""

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from repro.errors import ReproError
from repro.files import checksum, write_json
from repro.harness.evidence.both import Outcome, by_both, rows_differ, runs_differ
from repro.harness.evidence.committed import clean_commit, obstacle
from repro.harness.evidence.equivalence import (
    SCHEMA,
    Changes,
    Code,
    attested_path,
    changes,
    code_of,
    read_attested,
)
from repro.harness.evidence.fingerprint import (
    compare,
    evidence_fingerprint,
    evidence_path,
    is_others,
    packages,
    staleness,
)
from repro.harness.evidence.provenance import parse_provenance
from repro.harness.evidence.witnesses import Chosen, witnesses
from repro.harness.profile import Profile
from repro.harness.runs import digest
from repro.words import duration

Say = Callable[[str], None]
_SHOWN = 3


@dataclass(frozen=True)
class Stale:
    """Evidence that is stale by code alone: its fingerprint, all code known to be equivalent, and how it was made."""

    experiment: str
    stored: dict[str, Any]
    links: list[dict[str, Any]]
    known: list[Code]
    current: Code
    made: dict[str, Any]

    @property
    def phases(self) -> set[str]:
        """Phases whose code differs from some known code."""
        parts = {part for code in self.known for part in changes(code, self.current)}
        return {name for name in self.stored["phases"] if f"phase {name}" in parts}


def attest(root: Path, profile: Profile, names: list[str], accepted: dict[str, str], say: Say) -> bool:
    """Attest what is stale by code alone among ``names`` or all experiments; returns whether nothing remains stale.

    ``accepted``: by ``module:definition`` that no witness executes, the reason. Raises ReproError where nothing can be
    compared: evidence is stale for another reason, the tree is dirty, or a commit is unavailable.
    """
    for name in names:
        if name not in profile.experiments:
            raise ReproError(f"profile {profile.name} has no experiment {name!r}")
    found, refused = [], []
    for name in names or profile.experiments:
        try:
            found += _stale(root, profile, name)
        except ReproError as error:
            refused.append(str(error))
    if refused and not found:
        more = f"; and {len(refused) - 1} more" if len(refused) > 1 else ""
        raise ReproError(f"{refused[0]}{more}")
    if not found:
        say("nothing to attest: no evidence is stale")
        return True
    commit, good = clean_commit(root), not refused
    for line in refused:
        say(line)
    for made_by in sorted({stale.made["commit"] for stale in found}):
        group = [stale for stale in found if stale.made["commit"] == made_by]
        good &= _attest_group(root, profile, group, commit, accepted, say)
    return good


def _stale(root: Path, profile: Profile, name: str) -> list[Stale]:
    """The experiment's evidence if it is stale; ReproError when not by code alone, or when it cannot be compared."""
    line = staleness(root, profile.name, name)
    if line is None:
        return []
    stored, links, known = read_attested(attested_path(root, profile.name, name))
    current = evidence_fingerprint(profile, name)
    if is_others(current):
        raise ReproError(f"{line}; `repro attest` compares commits of this package's own code only")
    if not stored or "code changed" not in line or stored.get("schema") != current["schema"]:
        raise ReproError(line)
    path = evidence_path(root, profile.name, name).with_suffix(".provenance.json")
    if others := compare(stored, _with_code(current, stored)):
        raise ReproError(f"{name}: stale not by code alone: {'; '.join(others)}; `dvc repro` makes it anew")
    made = parse_provenance(path.read_bytes(), str(path))
    why = obstacle(root, made.get("commit"), made["dirty"])
    if profile.device == "cpu" and made["device"] != "cpu":
        why = f"made on {made['device']}, profile {profile.name} takes the CPU"
    if why:
        raise ReproError(f"{name}: cannot be attested: {why}; `dvc repro` makes it anew")
    return [Stale(name, stored, links, known, code_of(current), made)]


def _with_code(fingerprint: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """A fingerprint with its code replaced by that of another fingerprint of the same experiment."""
    phases = {
        name: phase | {"code": other["phases"].get(name, phase)["code"]}
        for name, phase in fingerprint["phases"].items()
    }
    return fingerprint | {"phases": phases, "rows": other["rows"]}


def _attest_group(
    root: Path, profile: Profile, group: list[Stale], commit: str, accepted: dict[str, str], say: Say
) -> bool:
    """Attest evidence made by one commit; returns whether all of it could be attested."""
    began, made_by = time.monotonic(), group[0].made["commit"]
    chosen: Chosen = {stale.experiment: {} for stale in group} | witnesses(
        profile,
        {stale.experiment: stale.phases for stale in group if stale.phases},
        digest([stale.current for stale in group]),
        {stale.experiment: stale.made["seconds"] for stale in group},
    )
    count = sum(len(runs) for own in chosen.values() for runs in own.values())
    say(f"{count} models of {len(group)} experiments, by commit {made_by[:12]} and by the present code")
    before, after = by_both(root, profile, made_by, chosen)
    say(f"trained by both in {duration(time.monotonic() - began)}")
    lines = [line for name in chosen for line in runs_differ(name, before, after)]
    for line in lines[:_SHOWN]:
        say(f"different: {line}")
    good = True
    of: dict[str, list[str]] = {}  # experiments by definition that nothing proved
    for stale in group:
        changed, other, lacking = _judge(root, profile, stale, before, after)
        lines += other
        for line in other[:_SHOWN]:
            say(f"different: {line}")
        reasons = {name: accepted[name] for name in sorted(lacking & accepted.keys())}
        unproved = sorted(lacking - accepted.keys())
        for name in unproved:
            of.setdefault(name, []).append(stale.experiment)
        if lines or unproved:
            more = f", {len(lines)} differences" if lines else f", {len(unproved)} definitions not executed"
            say(f"{stale.experiment}: stays stale{more}")
            good = False
            continue
        _write(
            root,
            profile,
            stale,
            before,
            after,
            {"changed": changed, "accepted": reasons, "witnesses": chosen} | {"commits": [made_by, commit]},
        )
        why = "".join(f"; {name} accepted: {reason}" for name, reason in reasons.items())
        say(f"{stale.experiment}: attested, {len(_names(changed))} definitions changed{why}")
    for name, experiments in sorted(of.items()):
        more = f" and {len(experiments) - _SHOWN} more" if len(experiments) > _SHOWN else ""
        say(
            f"{name} changed, and no witness executed it ({', '.join(experiments[:_SHOWN])}{more}); `dvc repro` makes "
            f"the evidence anew, or --accept '{name}=REASON'"
        )
    return good


def _judge(
    root: Path, profile: Profile, stale: Stale, before: Outcome, after: Outcome
) -> tuple[Changes, list[str], set[str]]:
    """(what changed, in which rows the tables differ, which changed definitions remain unproved)."""
    then = before["experiments"][stale.experiment]["fingerprint"]
    now = after["experiments"][stale.experiment]["fingerprint"]
    if code_of(then) not in stale.known or compare(stale.stored, _with_code(then, stale.stored)):
        raise ReproError(
            f"{stale.experiment}: commit {stale.made['commit'][:12]} is not the code of its fingerprint"
        )
    if code_of(now) != stale.current or {before["device"], after["device"]} - {None} - {stale.made["device"]}:
        raise ReproError(f"{stale.experiment}: made on {stale.made['device']}, here it is {after['device']}")
    changed = changes(code_of(then), stale.current)
    lacking: set[str] = set()
    for part, names in changed.items():
        for name, (old, new) in names.items() if part != "rows" else ():
            if (old and name not in before["executed"]) or (new and name not in after["executed"]):
                lacking.add(name)
    lines: list[str] = []
    if unproved := changed.get("rows", {}).keys() - after["moved"]:
        try:
            lines = list(rows_differ(root, profile, stale.experiment, stale.stored))
        except ReproError:
            lacking |= unproved
    return changed, lines, lacking - after["moved"].keys()


def _names(changed: Changes) -> set[str]:
    return {name for part in changed.values() for name in part}


def _write(
    root: Path, profile: Profile, stale: Stale, before: Outcome, after: Outcome, about: dict[str, Any]
) -> None:
    """Add a link to the attestations beside the evidence."""
    then, now = (side["experiments"][stale.experiment] for side in (before, after))
    link = about | {
        "before": digest(code_of(then["fingerprint"])),
        "after": digest(stale.current),
        "runs": {
            now["codes"][kind]: code
            for kind, code in then["codes"].items()
            if now["codes"].get(kind, code) != code
        },
        "packages": packages(),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "device": after["device"],
        "made": datetime.now(UTC).date().isoformat(),
    }
    path = attested_path(root, profile.name, stale.experiment)
    table = checksum(evidence_path(root, profile.name, stale.experiment))
    write_json(path, {"schema": SCHEMA, "table": table, "links": [*stale.links, link]})
