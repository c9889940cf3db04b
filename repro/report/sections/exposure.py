"""Membership exposure: ROC curves and AUC by attack and defence, after training and at matched accuracy (desanctis)."""

from dataclasses import dataclass
from typing import Any

from repro.evidence.table import Table
from repro.report.figures import BLUE, GREY, LINES, VERMILLION, canvas, legend_below, look
from repro.report.markdown import details, escape, table
from repro.report.report import Report
from repro.report.summary import difference, mean, ordered
from repro.report.wording import capital, estimate, listing, name

TITLE = "Membership exposure"
PLACE = 80

_VICTIMS = ("scratch", "fine-tuned")
_ATTACKS = ("none", "dirty_label", "clean_label")
_PHASES = {"final": "after training", "matched": "at matched held-out accuracy"}
_RATES = "tpr_at_"
_AUCS = {"target_auc": "AUC, target", "other_auc": "AUC, others", "auc": "AUC, overall"}
_HELD_OUT = {"test_accuracy": "Held-out accuracy"}
_ACCURACIES = {
    "member_accuracy": "Members",
    "test_accuracy": "Held out",
    "target_accuracy": "Held out, target",
    "other_accuracy": "Held out, others",
    "epochs": "Epochs",
}
_WORDS = {"scratch": "trained from scratch", "fine-tuned": "fine-tuned from a public encoder"}


@dataclass(frozen=True)
class _Condition:
    """The rows of one victim, attack and defence."""

    victim: str
    attack: str
    regulariser: str
    rows: Table

    @property
    def words(self) -> list[str]:
        """Victim, attack and defence as a table says them."""
        return [capital(self.victim), name(self.attack), _defence(self.regulariser)]


def blocks(report: Report, evidence: Table) -> list[str]:
    """AUCs beside accuracies in both protocols, the margin loss against no defence, and the curves."""
    phases = ordered(evidence.values("phase"), list(_PHASES))
    victims = [f"*{v}* victims are {_WORDS[v]}" for v in _victims(evidence) if v in _WORDS]
    found = [
        "An attacker guesses who was a member of the training set from the metric M\\_mem of the model's answer; "
        "members tend to have the lower one. *AUC* is the area under that guess's ROC curve, 0.5 for a coin. The "
        "poison is meant "
        f"to expose the members of one target class. {capital(listing(victims))}. {_protocol(report)}".rstrip(),
        _curves(report, evidence),
        "*ROC curves after training over all members, the target class's among them; mean over units, logarithmic "
        "axes.*",
    ]
    for phase in phases:
        rows = evidence.where(phase=phase)
        found += [
            f"**{capital(_PHASES.get(phase, phase))}**",
            _table(rows, _AUCS | _HELD_OUT),
            details(f"Accuracies, {_PHASES.get(phase, phase)}", _table(rows, _ACCURACIES)),
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
    budgets = listing([f"{a.budget} poisons ({escape(name(attack))})" for attack, a in s.attacks.items()])
    return (
        f"Each has {s.members} members and {s.nonmembers} non-members, trains for {s.checkpoints[-1]} epochs (Adam "
        f"{s.learning_rate:g}, batches of {s.batch_size}) and meets {budgets}; the margin loss has weight "
        f"{s.margin_weight:g}. *Matched* compares each victim with and without the loss where both first reach the "
        "same held-out accuracy, over ten such accuracies."
    )


def _victims(evidence: Table) -> list[str]:
    return ordered(evidence.values("victim"), _VICTIMS)


def _conditions(rows: Table) -> list[_Condition]:
    """Every victim with every attack and defence that occurs."""
    return [
        _Condition(victim, attack, regulariser, among)
        for victim in _victims(rows)
        for attack in ordered(rows.values("attack"), _ATTACKS)
        for regulariser in map(str, rows.values("regulariser"))
        if len(among := rows.where(victim=victim, attack=attack, regulariser=regulariser))
    ]


def _attack(attack: str) -> str:
    return f"{'no' if attack == 'none' else name(attack)} poison"


def _defence(regulariser: str) -> str:
    return "none" if regulariser == "none" else name(regulariser)


def _table(rows: Table, metrics: dict[str, str]) -> str:
    shown = {metric: title for metric, title in metrics.items() if metric in rows.columns}
    lines = [
        [*c.words, *(estimate(mean(c.rows, metric), 1 if metric == "epochs" else 3) for metric in shown)]
        for c in _conditions(rows)
    ]
    return table(["Victim", "Poison", "Defence", *shown.values()], lines, left=3)


def _margin_against_none(evidence: Table, phases: list[str]) -> list[str]:
    lines = []
    for phase in phases:
        conditions = {
            (c.victim, c.attack, c.regulariser): c for c in _conditions(evidence.where(phase=phase))
        }
        for (victim, attack, regulariser), margin in conditions.items():
            none = conditions.get((victim, attack, "none"))
            if regulariser == "margin" and none:
                differences = (
                    estimate(difference(margin.rows, none.rows, metric), 3, signed=True)
                    for metric in ("target_auc", "auc", "test_accuracy")
                )
                lines.append([capital(_PHASES.get(phase, phase)), *margin.words[:2], *differences])
    if not lines:
        return []
    header = ["Protocol", "Victim", "Poison", "Target AUC", "Overall AUC", "Held-out accuracy"]
    return ["**The margin loss less no defence**, paired within units:", table(header, lines, left=3)]


def _curves(report: Report, evidence: Table) -> str:
    rows = evidence.where(phase="final")
    columns = sorted((c for c in rows.columns if c.startswith(_RATES)), key=_rate)
    attacks, victims = ordered(rows.values("attack"), _ATTACKS), _victims(rows)
    styles: dict[str, dict[str, Any]] = {
        "none": {"color": VERMILLION, "linestyle": LINES[0], "marker": "o"},
        "margin": {"color": BLUE, "linestyle": LINES[1], "marker": "s", "markerfacecolor": "white"},
    }
    with look():
        size = {"height": 0.6 + 2.4 * len(victims), "width": 8.5}
        figure, axes = canvas(len(victims), len(attacks), **size, sharex=True, sharey=True)
        for condition in _conditions(rows):
            axis = axes[victims.index(condition.victim)][attacks.index(condition.attack)]
            points = [
                (_rate(column), found.mean) for column in columns if (found := mean(condition.rows, column))
            ]
            style = {"markersize": 4} | styles.get(condition.regulariser, {})
            label = "no defence" if condition.regulariser == "none" else name(condition.regulariser)
            axis.plot(*zip(*points, (1.0, 1.0), strict=True), label=label, **style)
        chance = [*map(_rate, columns), 1.0]
        for axis in axes.flat:
            axis.plot(chance, chance, color=GREY, linestyle=":", label="chance")
            axis.set(xscale="log", yscale="log")
        for axis, attack in zip(axes[0], attacks, strict=True):
            axis.set_title(capital(_attack(attack)))
        for line, victim in zip(axes, victims, strict=True):
            line[0].set_ylabel(f"{victim}\ntrue positive rate")
        for axis in axes[-1]:
            axis.set_xlabel("false positive rate")
        legend_below(figure, *axes[0][0].get_legend_handles_labels())
        return report.picture(
            "exposure", figure, "ROC curves of membership inference by victim, attack and defence"
        )


def _rate(column: str) -> float:
    return float(column.removeprefix(_RATES))
