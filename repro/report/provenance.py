"""The provenance block: what made the evidence. The one part of a report that may differ between equal runs."""

from typing import Any

from repro.harness.evidence.equivalence import attested
from repro.report.markdown import NONE, code, details, escape, table
from repro.report.report import Report
from repro.words import duration


def blocks(report: Report) -> list[str]:
    """A line an experiment, and data, packages and machine, together where all experiments agree."""
    found = report.provenance
    if not found:
        return ["*No provenance is recorded.*"]
    rows = [
        [
            code(experiment),
            _commit(content),
            escape(str(content.get("made", NONE))),
            escape(str(content.get("device", NONE))),
            f"{content.get('workers', NONE)} x {content.get('threads', NONE)}",
            duration(seconds) if isinstance(seconds := content.get("seconds"), int | float) else NONE,
        ]
        for experiment, content in found.items()
    ]
    total = sum(c["seconds"] for c in found.values() if isinstance(c.get("seconds"), int | float))
    return [
        table(["Experiment", "Commit", "Made", "Device", "Workers x threads", "Time taken"], rows),
        f"Time taken together: {duration(total)}. A commit with a `+` had changes that were not committed.",
        *_attested(report),
        details("Data, packages and machine", table(["", ""], _shared(found), left=2)),
    ]


def _attested(report: Report) -> list[str]:
    """Which evidence stands for later code than what made it, and what of that was taken on trust."""
    said = {name: attested(report.root, report.profile.name, name) for name in report.provenance}
    return [
        f"{code(experiment)}: {escape(words)} (`{experiment}.attested.json`)."
        for experiment, words in said.items()
        if words
    ]


def _commit(content: dict[str, Any]) -> str:
    commit = content.get("commit")
    return code(f"{str(commit)[:12]}{'+' if content.get('dirty') else ''}") if commit else NONE


def _shared(found: dict[str, dict[str, Any]]) -> list[list[str]]:
    facts: dict[str, dict[str, list[str]]] = {}
    for experiment, content in found.items():
        for title, value in _facts(content):
            facts.setdefault(title, {}).setdefault(value, []).append(experiment)
    rows = []
    for title, values in facts.items():
        for value, experiments in values.items():
            only = "" if len(values) == 1 else f" ({', '.join(experiments)})"
            rows.append([escape(title), escape(f"{value}{only}")])
    return rows


def _facts(content: dict[str, Any]) -> list[tuple[str, str]]:
    data = content.get("data") or {}
    limit = data.get("limit")
    facts = [
        ("Data", ", ".join(str(v) for v in (data.get("name"), data.get("variant")) if v)),
        ("Images used", "" if not data else "all" if limit is None else str(limit)),
        ("Data's SHA-256", str(data.get("sha256") or "")),
        ("Python", str(content.get("python") or "")),
        ("Platform", str(content.get("platform") or "")),
        ("Processor", str(content.get("processor") or "")),
    ]
    facts += [(package, str(version)) for package, version in sorted((content.get("packages") or {}).items())]
    return [(title, value) for title, value in facts if value]
