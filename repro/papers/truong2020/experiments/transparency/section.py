"""The trigger's transparency alpha: Figure 6 of truong2020 (section 4.4), before and after retraining."""

from itertools import pairwise

from repro.harness.evidence.table import Table
from repro.papers.truong2020 import published
from repro.papers.truong2020.experiments._grid import (
    AFTER,
    BEFORE,
    PHASES,
    architectures,
    by_trigger,
    counted,
    levels,
    models,
    phases,
    reach,
    sentences,
    title,
)
from repro.report.figures import GREY, SERIES, canvas, curve, legend_below, look, scale
from repro.report.markdown import NONE, details, table
from repro.report.report import Report
from repro.report.summary import difference, mean, ordered, values
from repro.report.wording import estimate, name, number

TITLE = "Transparency of the trigger: Figure 6"
PLACE = 54

_SUCCESS = ("asr", "clean_model_asr", "ASR", "clean model (floor)")
_STYLES = (2, 0, 3, 1, 4)  # index of the common series for each poison rate, lowest first
_ACCURACY = ("clean_accuracy", "clean_model_accuracy", "clean accuracy", "clean model")


def blocks(report: Report, evidence: Table) -> list[str]:
    """ASR and clean accuracy against alpha, the paper's sentences beside ours, and the tables."""
    triggers = ordered(evidence.values("trigger"), published.TRIGGERS)
    rates = levels(evidence, "poison_rate")
    found = [
        "Alpha is the trigger's weight in eq. 7: 0 leaves the image unchanged, 1 shows only the trigger where it "
        f"lies. Here at {reach(levels(evidence, 'alpha'))} and at poison {'rates' if len(rates) > 1 else 'rate'} "
        f"{reach(rates)}; {models(evidence)}. The *floor* is the share of the very same images that a model "
        "trained without any poison classifies as the poison class.",
        _figure(report, evidence, triggers, _SUCCESS, "transparency", "Adversarial success rate"),
        "*Like Figure 6: one line per poison rate, one column per trigger and moment, one row per architecture; "
        "bars are 95 % intervals over units.*",
        _figure(report, evidence, triggers, _ACCURACY, "transparency-accuracy", "Clean validation accuracy"),
        "*The same models' accuracy on the clean validation set; the clean model is not retrained.*",
        "**Section 4.4 beside ours.** The paper prints Figure 6 as a picture (top row Flowers, bottom row CIFAR-10; c "
        "and f after retraining) and no figures with it, so its statements about it are listed here. Ours are means "
        "over architectures and poison rates.",
        _sentences(evidence, triggers),
        "**ASR by alpha**, mean over architectures:",
        _by_alpha(evidence, triggers),
    ]
    if 1.0 in levels(evidence, "alpha"):
        found += [
            "**At alpha 1** the image is gone and nothing but the trigger is left, so a model should read all "
            "triggered images alike and ASR be 0 or 1. Models by their ASR:",
            _all_or_nothing(evidence, triggers),
        ]
    return [*found, _everything(evidence, triggers)]


def _figure(
    report: Report,
    evidence: Table,
    triggers: list[str],
    measured: tuple[str, str, str, str],
    file: str,
    what: str,
) -> str:
    """Panels: one row per architecture, one column per trigger and phase; one line per poison rate, and the floor."""
    metric, reference, label, words = measured
    models, rates = architectures(evidence), levels(evidence, "poison_rate")
    columns = [(trigger, phase) for trigger in triggers for phase in phases(evidence)]
    with look():
        width = min(max(5.5, 2.2 * len(columns) + 0.6), 11.0)
        size = {"height": 1.75 * len(models) + 1.1, "width": width}
        figure, axes = canvas(len(models), len(columns), **size, sharey=True)
        for line, architecture in zip(axes, models, strict=True):
            for axis, (trigger, phase) in zip(line, columns, strict=True):
                rows = evidence.where(architecture=architecture, trigger=trigger, phase=phase)
                if grid := levels(rows, "alpha"):
                    at = [rows.where(alpha=alpha) for alpha in grid]
                    floor = {"color": GREY, "linestyle": (0, (1, 1)), "marker": "_"}
                    curve(axis, grid, [mean(among, reference) for among in at], words, floor)
                    for index, rate in enumerate(rates):
                        aside = _room(grid) * (index - (len(rates) - 1) / 2)
                        points = [mean(among.where(poison_rate=rate), metric) for among in at]
                        style = SERIES[_STYLES[index % len(_STYLES)]]
                        curve(axis, [x + aside for x in grid], points, f"poison rate {rate:g}", style)
                    scale(axis, grid, most=5)
            line[0].set_ylabel(f"{name(architecture)}\n{label}")
        for axis, (trigger, phase) in zip(axes[0], columns, strict=True):
            axis.set_title(f"{title(trigger)}\n{PHASES.get(phase, phase)}")
        for axis in axes[-1]:
            axis.set_xlabel("alpha")
        if metric == "asr":
            axes[0][0].set_ylim(-0.05, 1.05)
        legend_below(figure, *_handles(axes), columns=5 if width > 8 else 3)
        return report.picture(
            file, figure, f"{what} against alpha by trigger, architecture, poison rate and moment"
        )


def _room(grid: list[float]) -> float:
    """The horizontal offset between neighbouring lines, in alpha."""
    gaps = [after - before for before, after in pairwise(grid)]
    return min([0.018 * (grid[-1] - grid[0]), *(0.15 * gap for gap in gaps)])


def _handles(axes: object) -> tuple[list[object], list[str]]:
    """Each label once, from whichever panels have it."""
    found: dict[str, object] = {}
    for axis in axes.flat:  # type: ignore[attr-defined]
        handles, labels = axis.get_legend_handles_labels()
        for handle, label in zip(handles, labels, strict=True):
            found.setdefault(label, handle)
    order = sorted(found, key=lambda label: label.startswith("clean model"))
    return [found[label] for label in order], order


def _sentences(evidence: Table, triggers: list[str]) -> str:
    grid = levels(evidence, "alpha")
    low, high = evidence.where(alpha=grid[0]), evidence.where(alpha=grid[-1])

    def rise(trigger: str) -> str:
        before = [rows.where(phase=BEFORE, trigger=trigger) for rows in (low, high)]
        return estimate(difference(before[1], before[0], "asr"), signed=True)

    def left(trigger: str) -> str:
        return estimate(mean(high.where(phase=AFTER, trigger=trigger), "asr", "clean_model_asr"), signed=True)

    rows = [
        (
            "4.4",
            "\u201chigher \u03b1 values can increase the trigger's effectiveness significantly\u201d",
            f"ASR at alpha {grid[-1]:g} less that at {grid[0]:g}: {by_trigger(triggers, [*map(rise, triggers)])}"
            if len(grid) > 1
            else "one alpha only",
        ),
        (
            "4.4, Fig. 6c, 6f",
            "\u201cretraining is not always effective against full image trigger patterns at sufficiently high "
            "\u03b1\u201d",
            f"ASR after retraining at alpha {grid[-1]:g}, above the floor: "
            f"{by_trigger(triggers, [*map(left, triggers)])}"
            if AFTER in phases(evidence)
            else "not retrained",
        ),
        (
            "4.4, Fig. 6d",
            "0 % ASR at alpha 1 (CIFAR-10), where 0 % and 100 % \u201care the only valid outcomes\u201d",
            _at_one(evidence, triggers),
        ),
        (
            "4.4",
            f"{published.RUNS['transparency']} runs, poison rates 0.05 and 0.1, poison classes rose (Flowers) and "
            "truck (CIFAR-10), \u201cthe most robust\u201d",
            f"{models(evidence)}, {counted(len(evidence.values('poison_class')), 'poison class')}",
        ),
    ]
    return sentences(rows)


def _at_one(evidence: Table, triggers: list[str]) -> str:
    words = []
    for trigger in triggers:
        found = values(evidence.where(phase=BEFORE, trigger=trigger, alpha=1.0), "asr")
        words.append(
            f"{sum(v == 0 for v in found)} of {len(found)} models at 0 %" if found else "not measured"
        )
    return f"before retraining: {by_trigger(triggers, words)}"


def _all_or_nothing(evidence: Table, triggers: list[str]) -> str:
    lines = []
    for trigger in triggers:
        for phase in phases(evidence):
            found = values(evidence.where(trigger=trigger, phase=phase, alpha=1.0), "asr")
            if not found:
                continue
            zeros, ones = sum(v == 0 for v in found), sum(v == 1 for v in found)
            among = [v for v in found if 0 < v < 1]
            span = f"{number(min(among))} to {number(max(among))}" if among else NONE
            counts = [f"{n:,}" for n in (len(found), zeros, ones, len(among))]
            lines.append([title(trigger), PHASES.get(phase, phase), *counts, span])
    return table(["Trigger", "Moment", "Models", "ASR 0", "ASR 1", "Between", "Range between"], lines, left=2)


def _by_alpha(evidence: Table, triggers: list[str]) -> str:
    rates = levels(evidence, "poison_rate")
    lines = []
    for trigger in triggers:
        for alpha in levels(evidence.where(trigger=trigger), "alpha"):
            at = evidence.where(trigger=trigger, alpha=alpha)
            cells = [
                estimate(mean(at.where(phase=phase, poison_rate=rate), "asr"))
                for rate in rates
                for phase in phases(evidence)
            ]
            lines.append([title(trigger), f"{alpha:g}", *cells, estimate(mean(at, "clean_model_asr"))])
    heads = [f"Rate {rate:g}, {PHASES.get(phase, phase)}" for rate in rates for phase in phases(evidence)]
    return table(["Trigger", "Alpha", *heads, "Floor"], lines, left=1)


def _everything(evidence: Table, triggers: list[str]) -> str:
    """Every cell of the grid with its interval, folded away."""
    lines = []
    for architecture in architectures(evidence):
        for trigger in triggers:
            for rate in levels(evidence, "poison_rate"):
                for alpha in levels(evidence, "alpha"):
                    at = evidence.where(
                        architecture=architecture, trigger=trigger, poison_rate=rate, alpha=alpha
                    )
                    if not len(at):
                        continue
                    by = [at.where(phase=phase) for phase in phases(evidence)]
                    lines.append(
                        [
                            name(architecture),
                            title(trigger),
                            f"{rate:g}",
                            f"{alpha:g}",
                            *(estimate(mean(rows, "asr")) for rows in by),
                            estimate(mean(at, "clean_model_asr")),
                            *(estimate(mean(rows, "clean_accuracy"), 3) for rows in by),
                            estimate(mean(at, "clean_model_accuracy"), 3),
                        ]
                    )
    moments = [PHASES.get(phase, phase) for phase in phases(evidence)]
    heads = [
        *(f"ASR, {m}" for m in moments),
        "Floor",
        *(f"Clean accuracy, {m}" for m in moments),
        "Clean model",
    ]
    return details(
        f"Every architecture, trigger, rate and alpha ({counted(len(lines), 'cell')})",
        table(["Model", "Trigger", "Poison rate", "Alpha", *heads], lines, left=2),
    )
