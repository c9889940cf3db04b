"""The public contract of `reports/`, in short: files, columns and fields, and what each means."""

from collections.abc import Mapping

from repro.claims.verdicts import SCHEMA, PartVerdict, Verdict
from repro.report.columns import meaning
from repro.report.markdown import bullets, code, details, escape, table

_FIELDS = {
    "id": "the claim, as in the inventory; never changes",
    "verdict": "reproduced, contradicted, inconclusive, reported, not applicable or not measured",
    "estimate": "the effect the verdict is on, in the metric's units; null where nothing was measured, or "
    "nothing is judged (reported)",
    "interval": "its interval at `level`, two numbers or null",
    "level": "1 - 0.05/m, with m the number of that paper's claims",
    "n": "independent units (or rows, for exact claims); of a table, the smallest of its figures'",
    "published": "the paper's figure, in words, or null",
    "parts": "the claim's parts, judged one by one, and after them figures shown beside; of a table, its figures alone",
    "reason": "why the verdict is what it is",
}
_PART_FIELDS = {
    "name": "what the part asserts",
    "kind": "direction, equal, no loss, level or exact; beside is shown and never judged",
    "verdict": "as above; null for beside",
    "interval95": "the 95 % interval",
    "bootstrap": "the studentised bootstrap's interval at `level`, a check on Student's t",
    "minimum": "a direction's minimum effect",
    "margin": "the margin of an equality or the tolerance of a level",
    "cells": "by cell of the grid: its name, estimate, n, and whether it agrees with the claim",
    "turning": "by how much the interval would have to move for another verdict",
}


def blocks(columns: Mapping[str, tuple[str, ...]]) -> list[str]:
    """The contract; ``columns`` are those of each experiment's evidence."""
    found = dict.fromkeys(column for listed in columns.values() for column in listed)
    described = [[code(column), escape(meaning(column) or "not described")] for column in found]
    of = [[code(experiment), ", ".join(map(code, listed))] for experiment, listed in sorted(columns.items())]
    blocks = [
        "All of it is plain text in git. Schema version of the verdicts: "
        f"**{SCHEMA}**; fingerprints and provenance carry their own `schema`. A change that breaks a reader raises it.",
        "Version 2 has one verdict more than version 1: *reported*, of a claim that is a comparison without an "
        "asserted direction. Its `estimate` and `interval` are null; its `parts` are its figures, of kind `beside`.",
        bullets(
            [
                "`<profile>/README.md`, and behind it `claims.md`, `setup.md`, `experiments/<experiment>.md` and "
                "`figures/`: the report, for people.",
                "`<profile>/verdicts.json`: a list of objects, one per claim, for programs.",
                "`<profile>/evidence/<experiment>.csv`: one row per run and phase, UTF-8, comma-separated, one header "
                "line. Rates, accuracies and AUCs are fractions from 0 to 1; floats are written so that they read back "
                "equal; `true` and `false`; an empty cell is no value.",
                "`<profile>/evidence/<experiment>.fingerprint.json`: the code, parameters and data that made the "
                "table; where they no longer match, the evidence is stale, and `pytest claims/` says so.",
                "`<profile>/evidence/<experiment>.provenance.json`: commit, packages, device, time taken.",
            ]
        ),
        details(
            "Fields of verdicts.json",
            _fields(),
            "Of each part, beside `estimate`, `interval`, `level`, `n` and `reason`, which mean the same:",
            _part_fields(),
        ),
    ]
    if described:
        blocks.append(
            details(
                "Columns of the evidence",
                table(["Column", "Meaning"], described, left=2),
                table(["Experiment", "Columns"], of, left=2),
            )
        )
    return blocks


def _fields() -> str:
    return table(
        ["Field", "Meaning"],
        [[code(f), _FIELDS.get(f, "not described")] for f in Verdict.model_fields],
        left=2,
    )


def _part_fields() -> str:
    own = [field for field in PartVerdict.model_fields if field not in _FIELDS or field in _PART_FIELDS]
    return table(["Field", "Meaning"], [[code(f), _PART_FIELDS.get(f, "not described")] for f in own], left=2)
