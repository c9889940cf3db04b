"""Membership exposure: ROC curves and AUC by attack and defence, after training and at matched accuracy (desanctis)."""

from typing import Any

from repro.evidence.table import Table
from repro.report.figures import BLUE, GREY, LINES, VERMILLION, canvas, legend_below, look
from repro.report.markdown import bullets, details, table
from repro.report.report import Report
from repro.report.summary import Estimate, difference, mean, ordered
from repro.report.wording import capital, estimate, name

TITLE = "Membership exposure"
PLACE = 80

_ATTACKS = ("none", "dirty_label", "clean_label")
_PHASES = {"final": "after training", "matched": "at matched held-out accuracy"}
_RATES = "tpr_at_"
_AUCS = {"target_auc": "Target class", "other_auc": "Other classes", "auc": "Overall"}
_ACCURACIES = {
    "member_accuracy": "Members",
    "test_accuracy": "Held out",
    "target_accuracy": "Held out, target",
    "other_accuracy": "Held out, others",
}


def blocks(report: Report, evidence: Table) -> list[str]:
    """AUCs beside accuracies, the margin loss against none in both protocols, and the curves."""
    phases = ordered(evidence.values("phase"), list(_PHASES))
    found = [
        "An attacker guesses who was a member of the training set from the metric M\\_mem of the model's answer; "
        "members tend to have the lower one. *AUC* is the area under that guess's ROC curve, 0.5 for a coin. The "
        "poison is meant to expose the members of one target class.",
        _curves(report, evidence),
        "*Mean over units and architectures, after training.*",
    ]
    for phase in phases:
        rows = evidence.where(phase=phase)
        title = capital(_PHASES.get(phase, phase))
        found += [f"**AUC, {title[:1].lower()}{title[1:]}**", _table(rows, _AUCS)]
        found += [f"**Accuracy, {title[:1].lower()}{title[1:]}**", _table(rows, _ACCURACIES)]
    found += _margin_against_none(evidence, phases)
    if len(evidence.values("architecture")) > 1:
        found.append(_by_architecture(evidence, phases))
    if "ties" in evidence.columns and (ties := mean(evidence, "ties")):
        found.append(f"Share of tied values of M\\_mem, counted half as is usual: {estimate(ties, 4)}.")
    return found


def _conditions(rows: Table) -> list[tuple[str, str, Table]]:
    """Every attack with every defence that occurs."""
    return [
        (attack, str(regulariser), among)
        for attack in ordered(rows.values("attack"), _ATTACKS)
        for regulariser in rows.values("regulariser")
        if len(among := rows.where(attack=attack, regulariser=regulariser))
    ]


def _attack(attack: str) -> str:
    return "no poison" if attack == "none" else name(attack)


def _defence(regulariser: str) -> str:
    return "no defence" if regulariser == "none" else name(regulariser)


def _table(rows: Table, metrics: dict[str, str]) -> str:
    shown = {metric: title for metric, title in metrics.items() if metric in rows.columns}
    lines = [
        [
            capital(_attack(attack)),
            capital(_defence(r)),
            *(estimate(mean(among, metric), 3) for metric in shown),
        ]
        for attack, r, among in _conditions(rows)
    ]
    return table(["Attack", "Defence", *shown.values()], lines, left=2)


def _margin_against_none(evidence: Table, phases: list[str]) -> list[str]:
    lines = []
    for phase in phases:
        for attack in ordered(evidence.values("attack"), _ATTACKS):
            rows = evidence.where(phase=phase, attack=attack)
            margin, none = rows.where(regulariser="margin"), rows.where(regulariser="none")
            target, overall, accuracy = (
                difference(margin, none, metric) for metric in ("target_auc", "auc", "test_accuracy")
            )
            if target is None and overall is None:
                continue
            lines.append(
                f"{capital(_attack(attack))}, {_PHASES.get(phase, phase)}: target AUC {_signed(target)}, "
                f"overall AUC {_signed(overall)}, held-out accuracy {_signed(accuracy)}."
            )
    return ["**The margin loss less no defence**, paired within units:", bullets(lines)] if lines else []


def _signed(figure: Estimate | None) -> str:
    return estimate(figure, 3, signed=True)


def _by_architecture(evidence: Table, phases: list[str]) -> str:
    lines = []
    for phase in phases:
        for architecture in map(str, evidence.values("architecture")):
            for attack, regulariser, rows in _conditions(
                evidence.where(phase=phase, architecture=architecture)
            ):
                lines.append(
                    [
                        phase,
                        name(architecture),
                        capital(_attack(attack)),
                        _defence(regulariser),
                        *(
                            estimate(mean(rows, metric), 3)
                            for metric in ("target_auc", "auc", "test_accuracy")
                        ),
                    ]
                )
    header = ["Phase", "Model", "Attack", "Defence", "Target AUC", "Overall AUC", "Held-out accuracy"]
    return details("By architecture", table(header, lines, left=4))


def _curves(report: Report, evidence: Table) -> str:
    rows = evidence.where(phase="final")
    columns = sorted((c for c in rows.columns if c.startswith(_RATES)), key=_rate)
    attacks = ordered(rows.values("attack"), _ATTACKS)
    styles: dict[str, dict[str, Any]] = {
        "none": {"color": VERMILLION, "linestyle": LINES[0], "marker": "o"},
        "margin": {"color": BLUE, "linestyle": LINES[1], "marker": "s", "markerfacecolor": "white"},
    }
    with look():
        figure, axes = canvas(1, max(1, len(attacks)), height=3.1, width=8.5, sharey=True)
        for axis, attack in zip(axes[0], attacks, strict=False):
            for regulariser in map(str, rows.values("regulariser")):
                among = rows.where(attack=attack, regulariser=regulariser)
                points = [(_rate(column), found.mean) for column in columns if (found := mean(among, column))]
                if points:
                    style = {"markersize": 4} | styles.get(regulariser, {})
                    axis.plot(*zip(*points, (1.0, 1.0), strict=True), label=_defence(regulariser), **style)
            chance = [_rate(column) for column in columns] + [1.0]
            axis.plot(chance, chance, color=GREY, linestyle=":", label="chance")
            axis.set(xscale="log", yscale="log", title=capital(_attack(attack)), xlabel="false positive rate")
        axes[0][0].set_ylabel("true positive rate")
        legend_below(figure, *axes[0][0].get_legend_handles_labels())
        return report.picture("exposure", figure, "ROC curves of membership inference by attack and defence")


def _rate(column: str) -> float:
    return float(column.removeprefix(_RATES))
