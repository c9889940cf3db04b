"""What sections on membership exposure share: orders, words, cells, and what a small false positive rate means."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from repro.harness.evidence.table import Table
from repro.papers.desanctis.victims.experiment import ATTACKS as PIECES
from repro.report.markdown import details, table
from repro.report.summary import Estimate, mean, ordered
from repro.report.wording import estimate, listing, name

VICTIMS = ("scratch", "fine-tuned", "frozen")
ATTACKS = ("none", "dirty_label", "clean_label")
PHASES = {"final": "after training", "matched": "at matched held-out accuracy"}
METRIC = (
    "An attacker guesses who was a member of the training set from the metric M\\_mem of the model's output; members "
    "tend to score lower. *AUC* is the area under the ROC curve of that guess, 0.5 by chance. The poison is meant "
    "to expose the members of one target class."
)
LOW_RATES = {"tpr_at_0.001": "TPR at 0.1 %", "tpr_at_0.01": "TPR at 1 %"}
ACCURACIES = {
    "member_accuracy": "Members",
    "test_accuracy": "Held out",
    "target_accuracy": "Held out, target",
    "other_accuracy": "Held out, others",
    "epochs": "Epochs",
}
_RATE = "tpr_at_"
_WORDS = {
    "scratch": "trained from scratch",
    "fine-tuned": "fine-tuned from a public encoder",
    "frozen": "a linear head on that encoder's features",
}


@dataclass(frozen=True)
class Condition:
    """The rows of one victim, attack, budget and defence."""

    victim: str
    attack: str
    budget: int
    regulariser: str
    rows: Table


def rate(column: str) -> float:
    """The false positive rate in a column's name."""
    return float(column.removeprefix(_RATE))


def rates(evidence: Table) -> list[str]:
    """The columns of true positive rates, by false positive rate."""
    return sorted((c for c in evidence.columns if c.startswith(_RATE)), key=rate)


def low_rates(nonmembers: int) -> str:
    """What false positive rates of 0.1 % and 1 % mean for that many non-members, in a sentence."""
    allowed = [int(Fraction(text) * nonmembers) for text in ("0.001", "0.01")]
    smallest = f"{100 / nonmembers:.2g} %"
    return (
        f"*TPR* is the share of all members found at a false positive rate of at most 0.1 % or 1 %. One of the "
        f"{nonmembers} non-members is {smallest}, the smallest rate above 0 that can be seen: 0.1 % allows "
        f"{_false_positives(allowed[0])}, and 1 % allows {_false_positives(allowed[1])}."
    )


def _false_positives(count: int) -> str:
    if count == 0:
        return "no false positive at all"
    return f"{count} false positive{'' if count == 1 else 's'}"


def victims(evidence: Table) -> list[str]:
    """The kinds of victim, in the sections' order."""
    return ordered(evidence.values("victim"), VICTIMS)


def attacks(evidence: Table) -> list[str]:
    """The attacks, no attack first."""
    return ordered(evidence.values("attack"), ATTACKS)


def what_victims_are(evidence: Table) -> str:
    """What each kind of victim is, in a sentence; empty if no kind is known."""
    known = [f"*{v}* ones are {_WORDS[v]}" for v in victims(evidence) if v in _WORDS]
    return f"Of the victims, {listing(known)}." if known else ""


def met(budgets: Mapping[str, Sequence[int]]) -> str:
    """The poisons that victims meet, by the attack's piece, in words."""
    return listing(
        [f"{listing(counts)} poisons ({name(PIECES[piece])})" for piece, counts in budgets.items()]
    )


def poison(attack: str) -> str:
    """An attack in words: no poison, dirty-label poison."""
    return f"{'no' if attack == 'none' else name(attack)} poison"


def conditions(rows: Table) -> list[Condition]:
    """Every victim with every attack, budget and defence that occurs, in this order."""
    return [
        Condition(victim, attack, budget, regulariser, among)
        for victim in victims(rows)
        for attack in attacks(rows.where(victim=victim))
        for budget in budgets(rows.where(victim=victim, attack=attack))
        for regulariser in map(str, rows.values("regulariser"))
        if len(among := rows.where(victim=victim, attack=attack, budget=budget, regulariser=regulariser))
    ]


def budgets(rows: Table) -> list[int]:
    """The numbers of poisons that occur, ascending."""
    return sorted(int(value) for value in rows.values("budget") if isinstance(value, int | float))


def measured(rows: Table, metric: str, digits: int = 3) -> str:
    """A column's mean over units as a cell; a dash where the evidence has no such column."""
    return estimate(
        mean(rows, metric) if metric in rows.columns else None, 1 if metric == "epochs" else digits
    )


def folded_accuracies(summary: str, header: list[str], lines: list[tuple[list[str], Table]]) -> str:
    """Accuracies and epochs, folded away; each line is given by its first cells and its rows."""
    cells = [[*words, *(measured(rows, metric) for metric in ACCURACIES)] for words, rows in lines]
    return details(summary, table([*header, *ACCURACIES.values()], cells, left=len(header)))


def side(difference: Estimate | None) -> int:
    """The side of 0 on which a difference lies with its interval: -1, 1, or 0 if undecided."""
    if difference is None or difference.half_width is None:
        return 0
    return int(difference.mean > difference.half_width) - int(-difference.mean > difference.half_width)
