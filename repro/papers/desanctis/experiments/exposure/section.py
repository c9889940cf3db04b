"""Membership exposure: ROC curves and AUC by attack and defence, after training and at matched accuracy (desanctis)."""

from typing import Any

from repro.harness.evidence.table import Table
from repro.papers.desanctis.victims.section import (
    LOW_RATES,
    METRIC,
    PHASES,
    Condition,
    attacks,
    conditions,
    folded_accuracies,
    low_rates,
    measured,
    met,
    poison,
    rate,
    rates,
    victims,
    what_victims_are,
)
from repro.report.figures import BLUE, GREY, LINES, VERMILLION, canvas, legend_below, look
from repro.report.markdown import table
from repro.report.report import Report
from repro.report.summary import difference, mean, ordered
from repro.report.wording import capital, estimate, name

TITLE = "Membership exposure"
PLACE = 80

_AUCS = {"target_auc": "AUC, target", "other_auc": "AUC, others", "auc": "AUC, overall"}
_SHOWN = _AUCS | LOW_RATES | {"test_accuracy": "Held-out accuracy"}
_HEADER = ["Victim", "Poison", "Defence"]


def blocks(report: Report, evidence: Table) -> list[str]:
    """AUCs beside accuracies in both protocols, the margin loss against no defence, and the curves."""
    phases = ordered(evidence.values("phase"), list(PHASES))
    found = [
        " ".join(filter(None, (METRIC, what_victims_are(evidence), _protocol(report)))),
        _curves(report, evidence),
        "*ROC curves after training over all members, including the target class's; mean over units, logarithmic "
        "axes.*",
    ]
    for phase in phases:
        words = PHASES.get(phase, phase)
        lines = [(_words(c), c.rows) for c in conditions(evidence.where(phase=phase))]
        found += [
            f"**{capital(words)}**",
            _table(lines),
            folded_accuracies(f"Accuracies, {words}", _HEADER, lines),
        ]
    found += _margin_against_none(evidence, phases)
    if "ties" in evidence.columns and (ties := mean(evidence, "ties")):
        found.append(f"Share of tied values of M\\_mem, which count half: {estimate(ties, 4)}.")
    return found


def _protocol(report: Report) -> str:
    """The victims' sizes and recipe, as the profile sets them."""
    if "exposure" not in report.profile.experiments:
        return ""
    s = report.profile.settings("exposure")
    poisons = met({piece: [attack.budget] for piece, attack in s.attacks.items()})
    return (
        f"Each has {s.members} members and {s.nonmembers} non-members, trains for {s.checkpoints[-1]} epochs (Adam "
        f"{s.learning_rate:g}, batches of {s.batch_size}) and meets {poisons}; the margin loss has weight "
        f"{s.margin_weight:g}. *Matched* compares each victim with and without the loss where both first reach the "
        f"same held-out accuracy, over ten such accuracies. {low_rates(s.nonmembers)}"
    )


def _words(condition: Condition) -> list[str]:
    """Victim, attack and defence as cells of a table."""
    defence = "none" if condition.regulariser == "none" else name(condition.regulariser)
    return [capital(condition.victim), name(condition.attack), defence]


def _table(lines: list[tuple[list[str], Table]]) -> str:
    cells = [[*words, *(measured(rows, metric) for metric in _SHOWN)] for words, rows in lines]
    return table([*_HEADER, *_SHOWN.values()], cells, left=len(_HEADER))


def _margin_against_none(evidence: Table, phases: list[str]) -> list[str]:
    lines = []
    for phase in phases:
        found = {
            (c.victim, c.attack, c.budget, c.regulariser): c for c in conditions(evidence.where(phase=phase))
        }
        for (victim, attack, budget, regulariser), margin in found.items():
            none = found.get((victim, attack, budget, "none"))
            if regulariser == "margin" and none:
                differences = (
                    estimate(difference(margin.rows, none.rows, metric), 3, signed=True)
                    for metric in ("target_auc", "auc", "test_accuracy")
                )
                lines.append([capital(PHASES.get(phase, phase)), *_words(margin)[:2], *differences])
    if not lines:
        return []
    header = ["Protocol", "Victim", "Poison", "Target AUC", "Overall AUC", "Held-out accuracy"]
    return ["**The margin loss less no defence**, paired within units:", table(header, lines, left=3)]


def _curves(report: Report, evidence: Table) -> str:
    rows = evidence.where(phase="final")
    columns, found = rates(rows), conditions(rows)
    panels, lines = attacks(rows), victims(rows)
    styles: dict[str, dict[str, Any]] = {
        "none": {"color": VERMILLION, "linestyle": LINES[0], "marker": "o"},
        "margin": {"color": BLUE, "linestyle": LINES[1], "marker": "s", "markerfacecolor": "white"},
    }
    with look():
        size = {"height": 0.6 + 2.4 * len(lines), "width": 8.5}
        figure, axes = canvas(len(lines), len(panels), **size, sharex=True, sharey=True)
        for condition in found:
            axis = axes[lines.index(condition.victim)][panels.index(condition.attack)]
            points = [(rate(column), at.mean) for column in columns if (at := mean(condition.rows, column))]
            style = {"markersize": 4} | styles.get(condition.regulariser, {})
            label = "no defence" if condition.regulariser == "none" else name(condition.regulariser)
            axis.plot(*zip(*points, (1.0, 1.0), strict=True), label=label, **style)
        chance = [*map(rate, columns), 1.0]
        for axis in axes.flat:
            axis.plot(chance, chance, color=GREY, linestyle=":", label="chance")
            axis.set(xscale="log", yscale="log")
        for axis, attack in zip(axes[0], panels, strict=True):
            axis.set_title(capital(poison(attack)))
        for line, victim in zip(axes, lines, strict=True):
            line[0].set_ylabel(f"{victim}\ntrue positive rate")
        for axis in axes[-1]:
            axis.set_xlabel("false positive rate")
        legend_below(figure, *axes[0][0].get_legend_handles_labels())
        return report.picture(
            "exposure", figure, "ROC curves of membership inference by victim, attack and defence"
        )
