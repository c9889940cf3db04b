"""Membership exposure by how many poisons are added and by kind of victim: the attacks of section 2.5 (desanctis)."""

from itertools import pairwise
from typing import Any

from repro.harness.evidence.table import Table
from repro.papers.desanctis.victims.section import (
    LOW_RATES,
    METRIC,
    Condition,
    attacks,
    budgets,
    conditions,
    folded_accuracies,
    low_rates,
    measured,
    met,
    poison,
    side,
    victims,
    what_victims_are,
)
from repro.report.figures import SERIES, canvas, curve, legend_below, look, scale
from repro.report.markdown import bullets, table
from repro.report.report import Report
from repro.report.summary import difference, mean
from repro.report.wording import capital, estimate, listing, name

TITLE = "Membership exposure by budget and victim"
PLACE = 81

_SHOWN = {
    "target_auc": "AUC, target",
    "other_auc": "AUC, others",
    "target_accuracy": "Accuracy, target",
    "other_accuracy": "Accuracy, others",
    **LOW_RATES,
}
_CHANGES = {
    metric: _SHOWN[metric] for metric in ("target_auc", "other_auc", "target_accuracy", "other_accuracy")
}
_HEADER = ["Victim", "Poison", "Poisons"]
_PANELS = {"target_auc": "AUC in the target class", "target_accuracy": "held-out accuracy, target class"}
_STYLES = dict(zip(("scratch", "fine-tuned", "frozen"), (SERIES[0], SERIES[2], SERIES[3]), strict=True))


def blocks(report: Report, evidence: Table) -> list[str]:
    """AUC and accuracy of the target class against the budget, the tables, and the changes to no poison."""
    rows = evidence.where(phase="final")
    found = [
        " ".join(filter(None, (METRIC, what_victims_are(rows), _protocol(report)))),
    ]
    if any(attack != "none" for attack in attacks(rows)):
        found += [
            _figure(report, rows),
            "*AUC among images of the target class, and accuracy on that class's held-out images, against the number "
            "of poisons; 0 is the same victim without poison. Bars are 95 % intervals over units.*",
        ]
    lines = [(_words(c), c.rows) for c in conditions(rows)]
    cells = [[*words, *(measured(among, metric) for metric in _SHOWN)] for words, among in lines]
    found += [
        "**After training.** Accuracies are those on held-out images.",
        table([*_HEADER, *_SHOWN.values()], cells, left=2),
        folded_accuracies("Accuracies and epochs", _HEADER, lines),
    ]
    return [*found, *_changes(rows)]


def _protocol(report: Report) -> str:
    """The victims' sizes and recipes, as the profile sets them."""
    if "amplification" not in report.profile.experiments:
        return ""
    s = report.profile.settings("amplification")
    poisons = met({piece: attack.budgets for piece, attack in s.attacks.items()})
    return (
        f"Each has {s.members} members and {s.nonmembers} non-members and trains without a defence, all layers for "
        f"{s.epochs} epochs (Adam {s.learning_rate:g}, batches of {s.batch_size}), a head alone for {s.frozen.epochs} "
        f"({s.frozen.learning_rate:g}); it meets {poisons}. {low_rates(s.nonmembers)}"
    )


def _words(condition: Condition) -> list[str]:
    """Victim, attack and budget as cells of a table."""
    return [capital(condition.victim), name(condition.attack), str(condition.budget)]


def _changes(rows: Table) -> list[str]:
    """Poisoned minus unpoisoned victims, and in words how exposure depends on the budget."""
    lines, words = [], []
    for victim in victims(rows):
        none = rows.where(victim=victim, attack="none")
        for attack in attacks(rows.where(victim=victim)):
            if attack == "none" or not len(none):
                continue
            at = rows.where(victim=victim, attack=attack)
            grid = budgets(at)
            for budget in grid:
                less = (difference(at.where(budget=budget), none, metric) for metric in _CHANGES)
                figures = [estimate(d, 3, signed=True) for d in less]
                lines.append([capital(victim), name(attack), str(budget), *figures])
            words.append(_in_words(victim, attack, none, [(b, at.where(budget=b)) for b in grid]))
    if not lines:
        return []
    return [
        "**Poison less no poison**, paired within units:",
        table([*_HEADER, *_CHANGES.values()], lines, left=2),
        bullets(words),
    ]


def _in_words(victim: str, attack: str, none: Table, by_budget: list[tuple[int, Table]]) -> str:
    """Which budgets amplify exposure of the target class by their intervals, and whether more poison exposes more."""
    sides = {budget: side(difference(rows, none, "target_auc")) for budget, rows in by_budget}
    said = []
    for of, words in ((1, "higher"), (-1, "lower"), (0, "not told apart")):
        if those := [str(budget) for budget, found in sides.items() if found == of]:
            said.append(f"{words} at {listing(those)} poisons")
    means = [found.mean for _, rows in by_budget if (found := mean(rows, "target_auc"))]
    trend = ""
    if len(means) > 1:
        rises = all(after > before for before, after in pairwise(means))
        trend = f"; its mean {'rises' if rises else 'does not rise'} with every larger budget"
    who = f"{capital(poison(attack))}, {victim}"
    return f"{who}: against no poison, AUC in the target class is {', '.join(said)}{trend}."


def _figure(report: Report, rows: Table) -> str:
    """One row of panels per attack: AUC on the left, accuracy on the right; one line per victim."""
    shown = [attack for attack in attacks(rows) if attack != "none"]
    with look():
        size = {"height": 2.6 * len(shown) + 0.5, "width": 8.5}
        figure, axes = canvas(len(shown), len(_PANELS), **size, sharey="col")
        for line, attack in zip(axes, shown, strict=True):
            of_attack = rows.where(attack=attack)
            grid = [0, *budgets(of_attack)]
            for axis, (metric, label) in zip(line, _PANELS.items(), strict=True):
                for index, victim in enumerate(victims(rows)):
                    at = [rows.where(victim=victim, attack="none")]
                    at += [of_attack.where(victim=victim, budget=budget) for budget in grid[1:]]
                    aside = 0.012 * grid[-1] * (index - (len(victims(rows)) - 1) / 2)
                    style: dict[str, Any] = _STYLES.get(victim, SERIES[4])
                    points = [mean(among, metric) for among in at]
                    curve(axis, [x + aside for x in grid], points, victim, style)
                axis.set_ylabel(label)
                axis.set_title(f"{capital(poison(attack))}")
                scale(axis, grid)
        for axis in axes[-1]:
            axis.set_xlabel("poisons")
        legend_below(figure, *axes[0][0].get_legend_handles_labels())
        return report.picture(
            "amplification",
            figure,
            "AUC and accuracy in the target class against the number of poisons, by attack and victim",
        )
