"""Defences against static and generalised backdoors: success and accuracy, the ranking, and what was predicted."""

from collections.abc import Sequence
from typing import Any

from repro.harness.evidence.table import Table
from repro.papers.desanctis.victims.section import side
from repro.report.figures import SERIES, canvas, legend_below, look
from repro.report.markdown import NONE, bullets, table
from repro.report.report import Report
from repro.report.summary import Estimate, by_unit, difference, mean, numeric, ordered, over_units
from repro.report.wording import capital, estimate, listing, name, number

TITLE = "Which defence serves which backdoor"
PLACE = 130

_FAMILIES = ("static", "shapes", "noise", "frequency", "corner")
_UNDEFENDED = "none"
_UNLEARNING = "unlearning"
_DEFENCES = (_UNDEFENDED, "pruning", "regularisation", "early_stopping", "clean_retraining", _UNLEARNING)
_WORDS = {_UNDEFENDED: "no defence"}
# By kind of trigger: the metric compared, the defences with which the document compares unlearning, and whether it
# expects the backdoor to succeed more (1) or less (-1) under unlearning.
_KINDS: dict[str, tuple[str, tuple[str, ...], int]] = {
    "static": ("asr_seen", ("pruning", "regularisation", "early_stopping"), 1),
    "generalised": ("asr_unseen", ("pruning", "regularisation", "early_stopping", "clean_retraining"), -1),
}
_PREDICTED = {
    "static": "pruning, regularisation and early stopping work best",
    "generalised": "unlearning works best",
}
_METRICS = {"asr_seen": "ASR, seen", "asr_unseen": "ASR, held out", "clean_accuracy": "Clean accuracy"}


def blocks(report: Report, evidence: Table) -> list[str]:
    """How defences are set, what was predicted and measured, success by family and defence, and the lines."""
    chosen = evidence.where(phase="mitigated")
    kinds = [kind for kind in _KINDS if len(chosen.where(trigger_kind=kind))]
    return [
        "Section 1 of the document asks which defence works against a tampered model: one that overfits on its "
        "trigger, or one that learns it as a second task. Here the first is a *static* trigger and the second a "
        "*generalised* one, each of the families above. *Pruning* takes the hidden units that clean images activate "
        "least; *regularisation* is weight decay; *early stopping* cuts the undefended training short; *clean "
        "retraining* continues training without poison; *unlearning* does so too, with a fifth of the clean images "
        "under seen triggers of the same family and their true labels: its defender is assumed to have recovered such "
        f"triggers, and no other defence knows as much.{_protocol(report)}",
        "**Predicted and measured**: the share of triggered images classified as the poison class under unlearning, "
        "minus its mean under the others, paired within units; below 0 unlearning removes more",
        bullets(_found(chosen, kind) for kind in kinds),
        "**Ranking** by the mean over the kind's families, the most effective first; a static trigger by its success, "
        "a generalised one by that of held-out triggers",
        _ranking(chosen, kinds),
        *_plot(report, evidence, kinds),
        "**By family and defence**, at the settings that the rule chooses",
        _by_family(chosen),
    ]


def _protocol(report: Report) -> str:
    """The rule and the lines, as the profile sets them."""
    if "mitigation" not in report.profile.experiments:
        return ""
    s = report.profile.settings("mitigation")
    lines = (
        ("units pruned", s.pruned),
        ("weights", s.weights),
        ("epochs at which training is cut short", s.epochs_stopped),
        ("epochs of clean retraining and of unlearning", s.epochs_retrained),
    )
    return (
        " On each line of settings, from light to heavy, a model gets the heaviest one at which its accuracy on clean "
        f"validation images is at most {s.accuracy_budget:g} below that without a defence, or else the lightest: only "
        "clean accuracy decides. Accuracies shown are measured on other clean images. The lines: "
        + "; ".join(f"{words} {', '.join(f'{value:g}' for value in values)}" for words, values in lines)
        + "."
    )


def _words(defence: str) -> str:
    return _WORDS.get(defence, name(defence))


def _found(chosen: Table, kind: str) -> str:
    """What the document expects against one kind of trigger, and what was measured."""
    metric, others, expected = _KINDS[kind]
    rows = chosen.where(trigger_kind=kind)
    less = _less(rows, metric, others)
    told = side(less)
    among = f"the mean of {listing([_words(d) for d in others])}"
    result = {
        0: f"unlearning cannot be told apart from {among}",
        1: f"the backdoor succeeds more under unlearning than under {among}",
        -1: f"the backdoor succeeds less under unlearning than under {among}",
    }[told]
    verdict = {0: "neither as predicted nor against it", expected: "the predicted direction"}.get(
        told, "the opposite of the predicted direction"
    )
    return (
        f"*{capital(kind)}*: the document expects that {_PREDICTED[kind]}. Here {result} "
        f"({estimate(less, 3, signed=True)}): {verdict}."
    )


def _less(rows: Table, metric: str, others: Sequence[str]) -> Estimate | None:
    """Unlearning less the mean of other defences, over the units that all of them have."""
    own = by_unit(rows.where(defence=_UNLEARNING), metric)
    theirs = [by_unit(rows.where(defence=defence), metric) for defence in others]
    shared = [unit for unit in own if all(unit in found for found in theirs)]
    return over_units([own[unit] - sum(f[unit] for f in theirs) / len(theirs) for unit in shared])


def _ranking(chosen: Table, kinds: Sequence[str]) -> str:
    lines = []
    for kind in kinds:
        metric = _KINDS[kind][0]
        rows = chosen.where(trigger_kind=kind)
        none = rows.where(defence=_UNDEFENDED)
        figures = {d: mean(rows.where(defence=d), metric) for d in _DEFENCES}
        known = {d: figure.mean for d, figure in figures.items() if figure}
        for defence in sorted(known, key=known.__getitem__):
            own = rows.where(defence=defence)
            plain = defence == _UNDEFENDED
            lines.append(
                [
                    capital(kind),
                    capital(_words(defence)),
                    estimate(figures[defence]),
                    NONE if plain else estimate(difference(own, none, metric), signed=True),
                    estimate(mean(own, "clean_accuracy"), 3),
                    NONE if plain else estimate(difference(own, none, "clean_accuracy"), 3, signed=True),
                ]
            )
    header = [
        "Trigger",
        "Defence",
        "ASR",
        "Less no defence's",
        _METRICS["clean_accuracy"],
        "Less no defence's",
    ]
    return table(header, lines, left=2)


def _by_family(chosen: Table) -> str:
    lines = []
    for family in ordered(chosen.values("family"), _FAMILIES):
        for defence in ordered(chosen.values("defence"), _DEFENCES):
            rows = chosen.where(family=family, defence=defence)
            if not len(rows):
                continue
            figures = [estimate(mean(rows, metric), 3 if "accuracy" in metric else 2) for metric in _METRICS]
            setting, within = [NONE, NONE] if defence == _UNDEFENDED else _settings(rows)
            lines.append([capital(name(family)), capital(_words(defence)), *figures, setting, within])
    header = ["Family", "Defence", *_METRICS.values(), "Settings chosen", "Within the budget"]
    return table(header, lines, left=2)


def _settings(rows: Table) -> list[str]:
    """The least and greatest setting chosen, and the share of models for which one was within the budget."""
    settings = [value for row in rows if (value := numeric(row, "setting")) is not None]
    least, most = min(settings), max(settings)
    span = f"{least:g}" if least == most else f"{least:g} to {most:g}"
    return [span, number(sum(row["within_budget"] is True for row in rows) / len(rows))]


def _plot(report: Report, evidence: Table, kinds: Sequence[str]) -> list[str]:
    """Success against accuracy along each line, one panel per kind of trigger."""
    lines = evidence.where(phase="line")
    if not len(lines) or not kinds:
        return []
    with look():
        figure, axes = canvas(1, len(kinds), height=3.6, width=max(5.0, 4.2 * len(kinds)), sharey="row")
        for axis, kind in zip(axes[0], kinds, strict=True):
            metric = _KINDS[kind][0]
            rows = lines.where(trigger_kind=kind)
            for style, defence in zip(SERIES, _DEFENCES[1:], strict=False):
                points = path(rows, defence, metric)
                if points:
                    axis.plot(
                        *zip(*points, strict=True), label=capital(_words(defence)), markersize=4, **style
                    )
            for place in path(rows, _UNDEFENDED, metric):
                axis.plot(*place, label=capital(_words(_UNDEFENDED)), **_STAR)
            axis.set_title(f"{capital(kind)} trigger")
            axis.set_xlabel("accuracy on clean images")
            axis.set_ylim(-0.03, 1.03)
        axes[0][0].set_ylabel("adversarial success rate")
        handles, labels = axes[0][0].get_legend_handles_labels()
        legend_below(figure, handles, labels, columns=3)
        picture = report.picture(
            "mitigation",
            figure,
            "Success of static and generalised triggers against clean accuracy, by defence",
        )
    return [
        picture,
        "*Each line follows a defence's settings from light to heavy, means over units and, for generalised "
        "triggers, over families. Down and to the right is better; a static trigger's success is on fresh images, a "
        "generalised one's that of held-out triggers.*",
    ]


_STAR: dict[str, Any] = {"color": "black", "marker": "*", "markersize": 11, "linestyle": "none", "zorder": 4}


def path(rows: Table, defence: str, metric: str) -> list[tuple[float, float]]:
    """Accuracy and success at each of a defence's settings, in the line's order, averaged over families."""
    own = rows.where(defence=defence)
    found = []
    for setting in own.values("setting"):
        at = own.where(setting=setting)
        accuracy, success = mean(at, "clean_accuracy"), mean(at, metric)
        if accuracy and success:
            found.append((accuracy.mean, success.mean))
    return found
