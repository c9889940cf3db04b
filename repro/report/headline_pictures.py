"""Pictures of the headline claims: all of them against their minimum effects, and each one cell by cell."""

import textwrap
from collections.abc import Sequence
from typing import Any

from matplotlib.ticker import MaxNLocator

from repro.claims.catalogue import Claim, Part
from repro.claims.rules import Outcome
from repro.report.conditions import Conditions
from repro.report.figures import BLUE, GREY, ORANGE, VERMILLION, canvas, legend_below, look
from repro.report.report import Report
from repro.report.summary import Estimate
from repro.report.wording import SYMBOLS, capital, percent

ALL = "headlines"
_STYLES: dict[Outcome, dict[str, Any]] = {
    "reproduced": {"color": BLUE, "marker": "o"},
    "contradicted": {"color": VERMILLION, "marker": "s"},
    "inconclusive": {"color": ORANGE, "marker": "D"},
}
_SHADE = {"color": BLUE, "alpha": 0.1, "linewidth": 0}
_BEYOND = "reproduced where the whole interval lies here"
_WRAP = 42

Shown = tuple[Claim, Conditions]


def against_minimum(report: Report, shown: Sequence[Shown]) -> str:
    """One line per part: its effect in units of the minimum effect, positive on the claimed side."""
    lines = [(claim, of) for claim, of in shown if of.part.minimum and of.judged.interval]
    if not lines:
        return ""
    several = {claim.id for claim, _ in lines if sum(other.id == claim.id for other, _ in lines) > 1}
    labels = [f"{c.title}: {of.part.name}" if c.id in several else c.title for c, of in lines]
    with look():
        figure, axes = canvas(height=1.0 + 0.42 * len(lines))
        axis = axes[0][0]
        for place, (_, of) in enumerate(lines):
            _interval(axis, place, of)
        axis.set_yticks(range(len(lines)), [textwrap.fill(label, _WRAP) for label in labels])
        axis.set_ylim(len(lines) - 0.4, -0.6)
        axis.grid(visible=False, axis="y")
        axis.axvline(0, color=GREY, linewidth=1)
        right = max(axis.get_xlim()[1], 1.5)
        axis.axvspan(1, right, label=_BEYOND, **_SHADE)
        axis.set_xlim(right=right)
        axis.set_xlabel("effect in the claimed direction, in units of the minimum effect")
        handles, names = axis.get_legend_handles_labels()
        found = dict(zip(names, handles, strict=True))
        labels = [label for label in (*map(_label, _STYLES), _BEYOND) if label in found]
        legend_below(figure, [found[label] for label in labels], labels)
        return report.picture(
            ALL, figure, "Effects of the headline claims against their minimum effects", up=""
        )


def _label(outcome: Outcome) -> str:
    return f"{SYMBOLS[outcome]} {outcome}"


def _interval(axis: Any, place: int, of: Conditions) -> None:
    """A part's effect and the judge's interval on the axis of minimum effects."""
    part, judged = of.part, of.judged
    if not (part.minimum and judged.interval and judged.verdict) or judged.estimate is None:
        return
    scale = (1 if part.side == "higher" else -1) / part.minimum
    low, high = sorted(end * scale for end in judged.interval)
    at = judged.estimate * scale
    axis.errorbar(
        at,
        place,
        xerr=[[at - low], [high - at]],
        linestyle="none",
        label=_label(judged.verdict),
        **_STYLES[judged.verdict],
    )


def cell_by_cell(report: Report, claim: Claim, parts: Sequence[Conditions]) -> str:
    """Part by part both conditions and their floor on the left, and the effect on the right, a line per cell."""
    heights = [len(of.cells) for of in parts]
    alike = len({of.metric for of in parts}) == 1
    with look():
        figure, axes = canvas(
            len(parts),
            2,
            height=0.9 + 0.6 * len(parts) + 0.2 * sum(heights),
            sharey="row",
            sharex="col" if alike else False,
            gridspec_kw={"height_ratios": heights, "width_ratios": [3, 2]},
        )
        for line, of in zip(axes, parts, strict=True):
            _levels(line[0], of)
            _effects(line[1], of)
            if len(parts) > 1:
                line[0].set_title(capital(of.part.name), loc="left")
            if of is parts[-1] or not alike:
                line[0].set_xlabel(of.metric)
                line[1].set_xlabel(f"difference in {of.metric}")
        for axis, of in zip(axes[:, 1], parts, strict=True):
            _shade(axis, of.part)
        found = [axis.get_legend_handles_labels() for axis in axes[0]]
        legend_below(
            figure,
            [handle for handles, _ in found for handle in handles],
            [label for _, labels in found for label in labels],
            columns=3,
        )
        words = f"{claim.title}: both conditions and their difference, cell by cell"
        return report.picture(f"headline-{claim.id}", figure, words, up="")


def _levels(axis: Any, of: Conditions) -> None:
    styles: list[tuple[str, Sequence[Estimate | None], dict[str, Any]]] = [
        (of.names[0], of.baseline, {"color": VERMILLION, "marker": "o", "markerfacecolor": "white"}),
        (of.names[1], of.treatment, {"color": BLUE, "marker": "o"}),
    ]
    if of.floor:
        styles.append((f"floor: {of.floor.words}", of.floor.line, {"color": GREY, "marker": "|"}))
    for label, line, style in styles:
        _points(axis, line, label, style)
    axis.set_yticks(range(len(of.cells)), of.cells)
    axis.set_ylim(len(of.cells) - 0.5, -0.5)
    if len(of.cells) > 1:
        axis.axhline(len(of.cells) - 1.5, color=GREY, linewidth=0.6)


def _effects(axis: Any, of: Conditions) -> None:
    """The effects of single cells with 95 % intervals, and the one that is judged with the judge's."""
    judged = of.judged
    style = {"color": "black", "marker": "o", "markersize": 4}
    _points(axis, of.effects[:-1], "difference, 95 % interval", style)
    if judged.interval and judged.estimate is not None:
        low, high = judged.interval
        axis.errorbar(
            judged.estimate,
            len(of.cells) - 1,
            xerr=[[judged.estimate - low], [high - judged.estimate]],
            linestyle="none",
            color="black",
            marker="D",
            elinewidth=2,
            label=f"judged, {percent(judged.level)} interval",
        )
    axis.axvline(0, color=GREY, linewidth=1)
    axis.xaxis.set_major_locator(MaxNLocator(4))
    axis.tick_params(axis="y", length=0)
    if len(of.cells) > 1:
        axis.axhline(len(of.cells) - 1.5, color=GREY, linewidth=0.6)


def _shade(axis: Any, part: Part) -> None:
    """Marks where a part's whole interval would have to lie for it to be reproduced."""
    if part.minimum:
        left, right = axis.get_xlim()
        low, high = part.minimum, max(right, 1.5 * part.minimum)
        if part.side == "lower":
            low, high = min(left, -1.5 * part.minimum), -part.minimum
        axis.axvspan(low, high, label=f"claimed: {part.side} by more than {part.minimum:g}", **_SHADE)
        axis.set_xlim(min(left, low), max(right, high))


def _points(axis: Any, line: Sequence[Estimate | None], label: str, style: dict[str, Any]) -> None:
    """Estimates with their intervals along the axis, one per line of the panel."""
    shown = [(e.mean, place, e.half_width or 0.0) for place, e in enumerate(line) if e]
    if shown:
        x, y, half = zip(*shown, strict=True)
        axis.errorbar(x, y, xerr=half, linestyle="none", elinewidth=1.2, label=label, **style)
