"""This profile's own figures beside each of the paper's contradictions, in words."""

from collections.abc import Callable, Sequence

import numpy as np

from repro.harness.evidence.table import Table
from repro.papers.truong2020.experiments._grid import (
    AFTER,
    BEFORE,
    architectures,
    by_trigger,
    figure,
    half,
    levels,
)
from repro.papers.truong2020.published import TRIGGERS
from repro.report.markdown import link
from repro.report.places import experiment_page
from repro.report.report import Report
from repro.report.summary import difference, mean, ordered, values
from repro.report.wording import estimate, name, number

Words = str | None


def figures(report: Report, which: str) -> Words:
    """The figures called ``which``; None where the profile has no evidence of them."""
    experiment, words = FIGURES[which]
    evidence = report.tables.get(experiment)
    if evidence is None or experiment in report.left_out:
        return None
    found = words(evidence)
    return f"{found} ({link(experiment.replace('_', ' '), experiment_page(experiment))})" if found else None


def _triggers(evidence: Table) -> list[str]:
    return ordered(evidence.values("trigger"), TRIGGERS)


def _has(evidence: Table, *phases: str) -> bool:
    return set(phases) <= set(evidence.values("phase"))


def _retraining(evidence: Table) -> Words:
    if not _has(evidence, AFTER):
        return None
    triggers = _triggers(evidence)
    left = [
        estimate(mean(evidence.where(phase=AFTER, trigger=t), "asr", "clean_model_asr"), signed=True)
        for t in triggers
    ]
    return f"ASR left after retraining, above the floor: {by_trigger(triggers, left)}"


def _retraining_accuracy(evidence: Table) -> Words:
    if not _has(evidence, BEFORE, AFTER):
        return None
    before, after = (evidence.where(phase=phase) for phase in (BEFORE, AFTER))
    changes = [
        f"{split} {estimate(difference(after, before, f'{split}_accuracy'), 3, signed=True)}"
        for split in ("poisoned", "clean")
    ]
    return f"accuracy after retraining less before: {', '.join(changes)}"


def _levels_by(rows: Table, column: str, found: Sequence[str], metric: str) -> dict[str, float]:
    """The mean of a metric by value of a column; values without rows are left out."""
    means = {value: figure(rows.where(**{column: value}), metric) for value in found}
    return {value: mean for value, mean in means.items() if mean is not None}


def _most_robust(evidence: Table) -> Words:
    models, triggers = architectures(evidence), _triggers(evidence)
    if len(models) < 2:
        return None
    words = []
    for trigger in triggers:
        by = _levels_by(evidence.where(phase=BEFORE, trigger=trigger), "architecture", models, "asr")
        words.append(f"{name(least := min(by, key=by.__getitem__))} {number(by[least])}" if by else "none")
    return f"lowest ASR before retraining: {by_trigger(triggers, words)}"


def _strongest(evidence: Table) -> Words:
    words = []
    for model in architectures(evidence):
        by = _levels_by(
            evidence.where(phase=BEFORE, architecture=model), "trigger", _triggers(evidence), "asr"
        )
        if by:
            most = max(by, key=by.__getitem__)
            words.append(f"{name(model)} {name(most)} {number(by[most])}")
    return f"highest ASR before retraining: {'; '.join(words)}" if words else None


def _correlation(evidence: Table) -> Words:
    models = architectures(evidence)
    rows = evidence.where(phase=BEFORE)
    accuracy, success = (_levels_by(rows, "architecture", models, m) for m in ("clean_accuracy", "asr"))
    if len(accuracy) < 3 or min(map(np.ptp, ([*accuracy.values()], [*success.values()]))) == 0:
        return None
    r = float(np.corrcoef([*accuracy.values()], [*success.values()])[0, 1])
    pairs = "; ".join(f"{name(m)} {number(accuracy[m], 3)} and {number(success[m])}" for m in accuracy)
    return f"mean clean accuracy and ASR: {pairs}; correlation over {len(accuracy)} architectures {number(r)}"


def _accuracy_by_trigger(evidence: Table) -> Words:
    words = []
    for model in architectures(evidence):
        rows = evidence.where(phase=BEFORE, architecture=model)
        by = _levels_by(rows, "trigger", _triggers(evidence), "clean_accuracy")
        if by:
            words.append(f"{name(model)} {number(min(by.values()), 3)} to {number(max(by.values()), 3)}")
    return f"clean accuracy by trigger, lowest to highest: {'; '.join(words)}" if words else None


def _sources(evidence: Table) -> Words:
    many, one = (evidence.where(phase=BEFORE, sources=sources) for sources in ("many-to-one", "one-to-one"))
    changes = [
        f"{split} {estimate(difference(many, one, f'{split}_accuracy'), 3, signed=True)}"
        for split in ("poisoned", "clean")
    ]
    return (
        f"accuracy under many-to-one less one-to-one: {', '.join(changes)}"
        if len(many) and len(one)
        else None
    )


def _most_poison(evidence: Table) -> Words:
    rows, triggers = evidence.where(phase=BEFORE), _triggers(evidence)
    reached = [half(rows.where(trigger=trigger), "poison_rate") for trigger in triggers]
    return f"poison rates with a mean ASR of one half or more: {by_trigger(triggers, reached)}"


def _least_poison(evidence: Table) -> Words:
    rows = evidence.where(phase=BEFORE, trigger="sine")
    rates = levels(rows, "poison_rate")
    ends = dict.fromkeys([rates[0], *([0.1] if 0.1 in rates else []), rates[-1]]) if rates else {}
    words = [f"{estimate(mean(rows.where(poison_rate=rate), 'asr'))} at {rate:g}" for rate in ends]
    return f"ASR of sine: {', '.join(words)}" if words else None


def _alpha_one(evidence: Table) -> Words:
    rows = evidence.where(phase=BEFORE, alpha=1.0)
    triggers = _triggers(rows)
    words = []
    for trigger in triggers:
        found = values(rows.where(trigger=trigger), "asr")
        zeros, ones = sum(v == 0 for v in found), sum(v == 1 for v in found)
        words.append(f"{zeros} of {len(found)} models at 0 %, {ones} at 100 %")
    return f"before retraining, at alpha 1: {by_trigger(triggers, words)}" if triggers else None


def _snnl(evidence: Table) -> Words:
    rows = evidence.where(phase="early-stopped")
    none, own, printed = (rows.where(regulariser=r) for r in ("none", "snnl", "snnl_printed"))
    if not all(map(len, (none, own, printed))):
        return None
    first, second = (estimate(difference(form, none, "asr"), signed=True) for form in (own, printed))
    return f"ASR less none's, early-stopped: {first} in Frosst's form, {second} as printed"


FIGURES: dict[str, tuple[str, Callable[[Table], Words]]] = {
    "retraining": ("trigger_by_model", _retraining),
    "retraining_accuracy": ("trigger_by_model", _retraining_accuracy),
    "most_robust": ("trigger_by_model", _most_robust),
    "strongest": ("trigger_by_model", _strongest),
    "correlation": ("trigger_by_model", _correlation),
    "accuracy_by_trigger": ("trigger_by_model", _accuracy_by_trigger),
    "sources": ("sources", _sources),
    "most_poison": ("poison_rate", _most_poison),
    "least_poison": ("poison_rate", _least_poison),
    "alpha_one": ("transparency", _alpha_one),
    "snnl": ("regularisers", _snnl),
}
"""By name, the experiment whose evidence is looked at, and what is said of it."""
