"""Code attested to be equivalent to other code: consulted wherever fingerprints are compared and keys are made.

``<experiment>.attested.json`` beside evidence holds links: from code whose runs were trained to other code whose runs
gave the same outcome, byte for byte. Links are exact, so a chain of links is a link too. A file is trusted when it
belongs to the table beside it, and each link starts at known code and leads, by the changes it lists, to the digest it
states.
"""

import json
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from repro.errors import ReproError
from repro.harness.runs import digest

SCHEMA = 1
SUFFIX = ".attested.json"
Code = dict[str, dict[str, str]]
"""By phase, the hash of each definition; the code of the rows is under ``rows``."""
Changes = dict[str, dict[str, list[str | None]]]
"""By part of the code, then definition: hash before and after, None where the definition does not exist."""


def code_of(fingerprint: dict[str, Any]) -> Code:
    """The code in a fingerprint."""
    return {f"phase {name}": phase["code"] for name, phase in fingerprint["phases"].items()} | {
        "rows": fingerprint["rows"]
    }


def changes(before: Code, after: Code) -> Changes:
    """The changes from one code to another."""
    found: Changes = {}
    for part in sorted(before.keys() | after.keys()):
        old, new = before.get(part, {}), after.get(part, {})
        differing = {
            name: [old.get(name), new.get(name)]
            for name in sorted(old.keys() | new.keys())
            if old.get(name) != new.get(name)
        }
        found |= {part: differing} if differing else {}
    return found


def _changed(code: Code, among: Changes) -> Code | None:
    """``code`` with changes applied; None if the changes do not start from it."""
    made = {part: dict(names) for part, names in code.items()}
    for part, names in among.items():
        for name, (before, after) in names.items():
            if made.get(part, {}).get(name) != before:
                return None
            if after is None:
                made[part].pop(name, None)
            else:
                made.setdefault(part, {})[name] = after
    return made


def attested_path(root: Path, profile_name: str, experiment: str) -> Path:
    """Path of an experiment's attestations."""
    return root / "reports" / profile_name / "evidence" / f"{experiment}{SUFFIX}"


def read_attested(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]], list[Code]]:
    """(stored fingerprint, links, all code known to be equivalent to its own, which comes first).

    Raises ReproError for a file that was edited or belongs to another table; without a file there are no links.
    """
    try:
        beside = path.with_name(path.name.removesuffix(SUFFIX) + ".fingerprint.json")
        stored = json.loads(beside.read_text(encoding="utf-8"))
        table = stored.pop("table")
        known = [code_of(stored)]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}, [], []
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        links = content["links"]
        if content["schema"] != SCHEMA or content["table"] != table:
            raise ReproError(f"{path}: not of the table beside it; delete it, or `repro attest` anew")
        for number, link in enumerate(links, start=1):
            before = next((code for code in known if digest(code) == link["before"]), None)
            after = _changed(before, link["changed"]) if before is not None else None
            if after is None or digest(after) != link["after"]:
                raise ReproError(f"{path}: link {number} does not lead from known code to what it states")
            known.append(after)
    except FileNotFoundError:
        return stored, [], known
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise ReproError(f"{path}: not an attestation; delete it, or `git checkout` it") from None
    return stored, links, known


def attested(root: Path, profile_name: str, experiment: str) -> str | None:
    """What a reader must know about evidence attested for later code than made it; None if it has no attestation."""
    _, links, _ = read_attested(attested_path(root, profile_name, experiment))
    if not links:
        return None
    accepted = {name: why for link in links for name, why in link.get("accepted", {}).items()}
    unproved = "; ".join(f"{name}: {why}" for name, why in sorted(accepted.items()))
    times = "once" if len(links) == 1 else f"{len(links)} times"
    return f"code changed and attested {times}" + (
        f", accepted without proof: {unproved}" if unproved else ""
    )


def forget_others(root: Path, profile_name: str, experiment: str) -> None:
    """Delete attestations that do not belong to the evidence beside them, because that was made again."""
    path = attested_path(root, profile_name, experiment)
    try:
        read_attested(path)
    except ReproError:
        path.unlink()


def resolved(root: Path, profile_name: str, experiment: str, fingerprint: dict[str, Any]) -> dict[str, Any]:
    """The fingerprint that represents a current one, of ``profile_name``'s ``experiment`` in the project at ``root``.

    Every current fingerprint passes through here before it is compared with a stored one, or written for DVC or beside
    evidence. So a fingerprint whose code was attested to be equivalent to a stored one's counts as the stored one.
    """
    stored, links, known = read_attested(attested_path(root, profile_name, experiment))
    if not links or fingerprint.get("schema") != stored.get("schema") or code_of(fingerprint) not in known:
        return fingerprint
    phases = {
        name: phase | {"code": stored["phases"][name]["code"]}
        for name, phase in fingerprint["phases"].items()
    }
    return fingerprint | {"phases": phases, "rows": stored["rows"]}


def code_root(digest_of_code: str) -> str:
    """The digest that represents code and all code equivalent to it in the keys of the store."""
    links, seen = _links(os.getcwd()), {digest_of_code}
    while (before := links.get(digest_of_code)) and before not in seen:
        digest_of_code = before
        seen.add(before)
    return digest_of_code


@cache
def _links(root: str) -> dict[str, str]:
    """Digest of a run's code by the digest of code attested to be equivalent, from all attestations of a project."""
    return dict(_each_link(Path(root)))


def _each_link(root: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(root.glob(f"reports/*/evidence/*{SUFFIX}")):
        for link in read_attested(path)[1]:
            yield from link.get("runs", {}).items()
