"""The poison rate: Figure 7 of truong2020 (section 4.5), accuracy and ASR against it."""

from matplotlib.lines import Line2D

from repro.harness.evidence.table import Table
from repro.papers.truong2020 import published
from repro.papers.truong2020.experiments._grid import (
    BEFORE,
    architectures,
    by_trigger,
    counted,
    figure,
    half,
    levels,
    models,
    reach,
    sentences,
    title,
)
from repro.report.figures import GREY, SERIES, canvas, curve, legend_below, look, scale
from repro.report.markdown import details, table
from repro.report.report import Report
from repro.report.summary import difference, mean, ordered
from repro.report.wording import estimate, listing, name, number

TITLE = "Poison rate: Figure 7"
PLACE = 57

_PANELS = {
    "poisoned_accuracy": "(a) accuracy, poisoned validation",
    "clean_accuracy": "accuracy, clean validation",
    "asr": "(b) adversarial success rate",
}
_FOLD = 32


def blocks(report: Report, evidence: Table) -> list[str]:
    """Accuracy and ASR against the poison rate, the paper's sentences beside ours, and the table."""
    rows = evidence.where(phase=BEFORE)
    triggers = ordered(rows.values("trigger"), published.TRIGGERS)
    shown = _table(rows, triggers)
    lines = shown.count("\n") - 1
    return [
        "The poison rate is the share of the poison class's training images that are supplanted. Here at "
        f"{reach(levels(rows, 'poison_rate'))}, on {listing([name(a) for a in architectures(rows)])}; {models(rows)}.",
        _plot(report, rows, triggers),
        "*Like Figure 7: one line per trigger; bars are 95 % intervals over units. Thin lines without markers: on "
        "the right the floor, the share of the very same images that a model trained without any poison classifies as "
        "the poison class; in the middle that clean model's accuracy.*",
        "**Section 4.5 beside ours.** The paper prints Figure 7 as a picture (NASNet, CIFAR-10, poison class truck) "
        "and no figures with it, so its statements about it are listed here.",
        _sentences(rows, triggers),
        shown if lines <= _FOLD else details(f"Every trigger and rate ({counted(lines, 'cell')})", shown),
    ]


def _plot(report: Report, rows: Table, triggers: list[str]) -> str:
    """One row per architecture; panels: accuracy on both validation sets, and ASR."""
    models = architectures(rows)
    references = {"clean_accuracy": "clean_model_accuracy", "asr": "clean_model_asr"}
    with look():
        drawn, axes = canvas(len(models), len(_PANELS), height=2.3 * len(models) + 0.8, width=9.0)
        for line, architecture in zip(axes, models, strict=True):
            for axis, metric in zip(line, _PANELS, strict=True):
                for index, trigger in enumerate(triggers):
                    style = SERIES[index % len(SERIES)]
                    among = rows.where(architecture=architecture, trigger=trigger)
                    rates = levels(among, "poison_rate")
                    at = [among.where(poison_rate=rate) for rate in rates]
                    curve(axis, rates, [mean(cell, metric) for cell in at], name(trigger), style)
                    if metric in references:
                        floor = [figure(cell, references[metric]) for cell in at]
                        seen = [(x, y) for x, y in zip(rates, floor, strict=True) if y is not None]
                        thin = {
                            "color": style["color"],
                            "linestyle": style["linestyle"],
                            "linewidth": 0.8,
                            "marker": "_",
                        }
                        axis.plot([x for x, _ in seen], [y for _, y in seen], alpha=0.7, **thin)
                scale(axis, levels(rows, "poison_rate"), log=True)
            both = [line[0].get_ylim(), line[1].get_ylim()]
            for axis in line[:2]:
                axis.set_ylim(min(low for low, _ in both), max(high for _, high in both))
            line[2].set_ylim(-0.05, 1.05)
            line[0].set_ylabel(name(architecture))
        for axis, words in zip(axes[0], _PANELS.values(), strict=True):
            axis.set_title(words)
        for axis in axes[-1]:
            axis.set_xlabel("poison rate")
        handles, labels = axes[0][2].get_legend_handles_labels()
        clean = Line2D([], [], color=GREY, linewidth=0.8)
        legend_below(drawn, [*handles, clean], [*labels, "clean model"], columns=5)
        return report.picture(
            "poison_rate", drawn, "Accuracy and adversarial success rate against the poison rate, by trigger"
        )


def _sentences(rows: Table, triggers: list[str]) -> str:
    rates = levels(rows, "poison_rate")
    low, high = rows.where(poison_rate=rates[0]), rows.where(poison_rate=rates[-1])

    def change(trigger: str) -> str:
        most, least = (side.where(trigger=trigger) for side in (high, low))
        return estimate(difference(most, least, "poisoned_accuracy"), 3, signed=True)

    found = [
        (
            "4.5, Fig. 7a",
            "\u201caccuracy on poisoned validation steadily decreases as the poison-rate increases\u201d",
            f"at {rates[-1]:g} less at {rates[0]:g}: {by_trigger(triggers, [*map(change, triggers)])}"
            if len(rates) > 1
            else "one rate only",
        ),
        (
            "4.5, Fig. 7b",
            "sine \u201cis extremely effective even with 2% poisoning\u201d",
            f"ASR of sine at {rates[0]:g}: {estimate(mean(low.where(trigger='sine'), 'asr'))}, floor "
            f"{number(figure(low.where(trigger='sine'), 'clean_model_asr'))}"
            if "sine" in triggers
            else "sine is not among the triggers",
        ),
        (
            "4.5, Fig. 7b",
            "sine needs the least poison; random square the most, with \u201cmiddling success\u201d at "
            "\u201cimpractically high poisoning rates\u201d",
            "mean ASR of one half or more: "
            f"{by_trigger(triggers, [half(rows.where(trigger=t), 'poison_rate') for t in triggers])}",
        ),
        ("4.5", f"{published.RUNS['poison_rate']} runs, one poison class", models(rows)),
    ]
    return sentences(found)


def _table(rows: Table, triggers: list[str]) -> str:
    lines = []
    for architecture in architectures(rows):
        for trigger in triggers:
            for rate in levels(rows, "poison_rate"):
                at = rows.where(architecture=architecture, trigger=trigger, poison_rate=rate)
                if len(at):
                    lines.append(
                        [
                            name(architecture),
                            title(trigger),
                            f"{rate:g}",
                            estimate(mean(at, "poisoned_accuracy"), 3),
                            estimate(mean(at, "clean_accuracy"), 3),
                            estimate(mean(at, "asr")),
                            estimate(mean(at, "clean_model_asr")),
                        ]
                    )
    heads = ["Poisoned accuracy", "Clean accuracy", "ASR", "Floor"]
    return table(["Model", "Trigger", "Poison rate", *heads], lines, left=2)
