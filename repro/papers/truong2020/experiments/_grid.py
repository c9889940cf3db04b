"""What the sections on alpha and on the poison rate share: a grid's values, and sentences of the paper beside ours."""

from collections.abc import Sequence

from repro.harness.evidence.table import Table
from repro.report.markdown import table
from repro.report.summary import mean, ordered
from repro.report.wording import capital, listing, name, number

BEFORE, AFTER = "poisoned", "retrained"
PHASES = {BEFORE: "before retraining", AFTER: "after retraining"}


def levels(evidence: Table, column: str) -> list[float]:
    """A column's distinct numbers, ascending."""
    return sorted(float(value) for value in evidence.values(column) if isinstance(value, int | float))


def phases(evidence: Table) -> list[str]:
    """The evidence's phases, before retraining first."""
    return ordered(evidence.values("phase"), list(PHASES))


def architectures(evidence: Table) -> list[str]:
    """The evidence's architectures, in its order."""
    return [str(architecture) for architecture in evidence.values("architecture")]


def figure(rows: Table, metric: str, minus: str | None = None) -> float | None:
    """The mean over units alone."""
    found = mean(rows, metric, minus)
    return found.mean if found else None


def by_trigger(triggers: Sequence[str], words: Sequence[str]) -> str:
    """One figure per trigger, in words: sine 0.90; low variance 0.20."""
    return "; ".join(f"{name(trigger)} {said}" for trigger, said in zip(triggers, words, strict=True))


def sentences(rows: Sequence[tuple[str, str, str]]) -> str:
    """A table of what the paper says in words, where, and our figures for it."""
    return table(["Where", "The paper", "Here"], rows, left=3)


def models(evidence: Table) -> str:
    """How many models were trained, in words."""
    first = evidence.where(phase=phases(evidence)[0])
    return f"{counted(len(first), 'model')} over {counted(len(evidence.values('unit')), 'unit')}"


def counted(number: int, thing: str) -> str:
    """A number of things in words: 1 model, 480 models."""
    return f"{number:,} {thing}{'' if number == 1 else 'es' if thing.endswith('ss') else 's'}"


def reach(values: Sequence[float]) -> str:
    """The grid's values in words."""
    return listing([f"{value:g}" for value in values])


def title(trigger: str) -> str:
    """A trigger's name as the first cell of a line."""
    return capital(name(trigger))


def half(rows: Table, column: str, threshold: float = 0.5) -> str:
    """The smallest value of a column beyond which mean ASR stays at or above a threshold, in words."""
    grid = levels(rows, column)
    reached = [value for value in grid if (figure(rows.where(**{column: value}), "asr") or 0.0) >= threshold]
    lasting = [value for value in reached if all(later in reached for later in grid if later >= value)]
    return f"from {lasting[0]:g} on" if lasting else f"at none up to {number(grid[-1], 1)}"
