"""What exists, by kind, and a profile's verdicts, as plain text for the command line; nothing heavy is imported."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from repro import plugins
from repro.claims.catalogue import load_claims
from repro.errors import ReproError
from repro.harness import profile as profiles
from repro.reading import read_mapping
from repro.words import columns

Lines = list[tuple[str, str]]


def listing(kind: str | None) -> str:
    """Name and title of every piece of a kind, such as ``experiments``, or of all kinds when it is None."""
    kinds: dict[str, Callable[[], Lines]] = {
        "papers": lambda: _pieces("paper"),
        "datasets": lambda: _pieces("dataset"),
        "attacks": lambda: _pieces("attack"),
        "triggers": lambda: _pieces("trigger"),
        "families": lambda: _pieces("family"),
        "defences": lambda: _pieces("defence"),
        "architectures": lambda: _pieces("architecture"),
        "engines": lambda: _pieces("engine"),
        "experiments": lambda: _pieces("experiment"),
        "claims": lambda: [(claim.id, claim.title) for claim in load_claims().values()],
        "profiles": lambda: [(name, _profile_title(file)) for name, file in profiles.files().items()],
    }
    if kind is not None and kind not in kinds:
        raise ReproError(f"unknown kind {kind!r}: there are {', '.join(kinds)}")
    return "\n\n".join(_section(name, kinds[name]()) for name in kinds if kind in (None, name))


def _pieces(kind: str) -> Lines:
    return [(name, plugins.title(kind, name)) for name in plugins.names(kind)]


def _profile_title(file: Path) -> str:
    return str(read_mapping(file).get("title", ""))


def _section(heading: str, lines: Lines) -> str:
    width = max((len(name) for name, _ in lines), default=0)
    return "\n".join([heading, *(f"  {name:{width}}  {title}".rstrip() for name, title in lines)])


def verdict_table(root: Path, profile_name: str) -> str:
    """``reports/<profile>/verdicts.json`` as a table, one line per claim, and a line that counts the verdicts."""
    path = root / "reports" / profile_name / "verdicts.json"
    try:
        verdicts = json.loads(path.read_text(encoding="utf-8"))
        rows = [_verdict_row(verdict) for verdict in verdicts]
        counted = Counter(verdict["verdict"] for verdict in verdicts)
    except FileNotFoundError:
        raise ReproError(f"{path}: no such file; `repro claims` writes it") from None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ReproError(
            f"{path}: not a list of verdicts ({error!r}); `repro claims` writes it anew"
        ) from None
    counts = ", ".join(f"{count} {verdict}" for verdict, count in counted.most_common())
    header = ("claim", "verdict", "estimate", "interval", "n", "title")
    return f"{columns([header, *rows])}\n{profile_name}: {len(rows)} claims: {counts or 'none'}"


def _verdict_row(verdict: dict[str, Any]) -> Sequence[str]:
    estimate, interval, claim = verdict["estimate"], verdict["interval"], load_claims().get(verdict["id"])
    return (
        str(verdict["id"]),
        str(verdict["verdict"]),
        "" if estimate is None else f"{estimate:+.3f}",
        "" if interval is None else f"[{interval[0]:+.3f}, {interval[1]:+.3f}]",
        str(verdict["n"]) if estimate is not None else "",
        claim.title if claim else "",
    )
