"""Detecting a backdoor by the smallest trigger of every class, with and without the classes' margins; mitigating it."""

from collections.abc import Sequence

from repro.harness.evidence.table import Table
from repro.papers.desanctis.experiments.detection.classes import by_class
from repro.papers.desanctis.experiments.detection.figures import TESTS, area, pictures, roc
from repro.report.markdown import NONE, table
from repro.report.report import Report
from repro.report.summary import Estimate, mean, over_units
from repro.report.wording import capital, estimate, name, number

TITLE = "Detecting and mitigating a backdoor"
PLACE = 110

_MITIGATIONS = {
    "pruned": "Pruned",
    "unlearned": "Unlearned",
    "retrained": "Retrained without stamps (control)",
}


def blocks(report: Report, evidence: Table) -> list[str]:
    """Both tests, their ROC, what masks recover, the classes' margins, and each mitigation beside its control."""
    rows = evidence.where(phase="detected")
    architectures = [str(value) for value in rows.values("architecture")]
    return [
        "For a poisoned and a clean model of each unit, the smallest mask and pattern that send images to a class are "
        "searched for, class by class, on the clean-set (Neural Cleanse). The *raw* test flags a model if one class's "
        "mask is an outlier among the classes' by its size; the class of the smallest mask by this index is the one "
        "*named*, flagged or not. The *corrected* test is the one that section 3 proposes: it divides each size by the "
        "class's margin, and clears a class whose trigger lies along the difference between the classes."
        f"{_protocol(report)}",
        "The document gives no formula for its correction. Here a class's *margin* is the smallest average difference "
        "to it over the source classes, and a trigger lies along that difference if most of the squared length of its "
        "change does, under the mask alone. Both, the smallest difference over the sources and alignment under the "
        "mask, were chosen on the tuning's seeds; another reading of section 3 could fare differently.",
        "**Detection**: shares of models. *Found* is flagged for the poison class; a clean model flagged is a false "
        "alarm; *AUC* is that of the score over poisoned and clean models, 0.5 for a coin",
        _detection(rows, architectures),
        roc(report, rows, architectures),
        "*ROC of both scores over models: share of poisoned models flagged by share of clean models flagged, at every "
        "threshold; the dot is the test's own threshold.*",
        "**What the search recovers**: *overlap* is the number of pixels in both the recovered mask of the poison "
        "class (above one half) and the true trigger, divided by those in either; mask sizes are in pixels",
        _recovered(rows, architectures),
        *pictures(report, rows, architectures),
        *by_class(report, evidence, architectures),
        "**Mitigation** of the poisoned models, by the trigger of the class that is named: a defender does not know "
        "the poison class. The control continues training as unlearning does, on the same clean images without the "
        "stamps, so that only the difference from it is due to the trigger. Differences are paired within units",
        _mitigation(rows.where(model="poisoned"), architectures),
        "**The proactive filter**: shares of images flagged among those under the true trigger, and among clean "
        "held-out ones",
        _filter(rows.where(model="poisoned"), architectures),
    ]


def _protocol(report: Report) -> str:
    """The search's length and the mitigations' sizes, as the profile sets them."""
    if "detection" not in report.profile.experiments:
        return ""
    s = report.profile.settings("detection")
    epochs = f"{s.unlearning_epochs} epoch{'' if s.unlearning_epochs == 1 else 's'}"
    return (
        f" The trigger is the {name(s.trigger)}; a search takes {s.steps} steps of {s.batch_size} images. "
        f"{s.pruned_units} hidden units are pruned, unlearning and its control take {epochs}, and the filter "
        f"looks at {s.filter_units} units and may flag {100 * s.filter_rate:g} % of the defender's images."
    )


def _detection(rows: Table, architectures: Sequence[str]) -> str:
    lines = []
    for architecture in architectures:
        own = rows.where(architecture=architecture)
        poisoned, clean = own.where(model="poisoned"), own.where(model="clean")
        for test in TESTS:
            lines.append(
                [
                    capital(name(architecture)),
                    capital(test),
                    estimate(mean(poisoned, f"{test}_flagged_rate")),
                    estimate(mean(poisoned, f"{test}_found_rate")),
                    estimate(mean(clean, f"{test}_flagged_rate")),
                    number(area(own, test), 3),
                ]
            )
        less = [
            estimate(mean(side, f"corrected_{rate}", minus=f"raw_{rate}"), signed=True)
            for side, rate in (
                (poisoned, "flagged_rate"),
                (poisoned, "found_rate"),
                (clean, "flagged_rate"),
            )
        ]
        lines.append([capital(name(architecture)), "Corrected less raw", *less, _gain(own)])
    header = ["Architecture", "Test", "Poisoned flagged", "Found", "False alarms", "AUC"]
    return table(header, lines, left=2)


def _gain(rows: Table) -> str:
    """The corrected score's area less the raw one's."""
    ours, theirs = area(rows, "corrected"), area(rows, "raw")
    return NONE if ours is None or theirs is None else number(ours - theirs, 3, signed=True)


def _recovered(rows: Table, architectures: Sequence[str]) -> str:
    lines = []
    for architecture in architectures:
        own = rows.where(architecture=architecture)
        poisoned, clean = own.where(model="poisoned"), own.where(model="clean")
        figures = (
            _named_rightly(poisoned),
            mean(poisoned, "mask_overlap"),
            mean(poisoned, "mask_size"),
            mean(clean, "mask_size"),
            mean(clean, "small_margin_named_rate"),
        )
        lines.append([capital(name(architecture)), *(estimate(figure) for figure in figures)])
    header = [
        "Architecture",
        "Poison class named",
        "Overlap",
        "Its mask, poisoned",
        "Its mask, clean",
        "Named class of small margin, clean",
    ]
    return table(header, lines)


def _named_rightly(poisoned: Table) -> Estimate | None:
    return over_units([float(row["named_class"] == row["poison_class"]) for row in poisoned])


def _mitigation(poisoned: Table, architectures: Sequence[str]) -> str:
    lines = []
    for architecture in architectures:
        own = poisoned.where(architecture=architecture)
        label = capital(name(architecture))
        before = (estimate(mean(own, "asr")), NONE, estimate(mean(own, "clean_accuracy"), 3), NONE)
        lines.append([label, "None", *before])
        for column, words in _MITIGATIONS.items():
            asr, accuracy = f"asr_{column}", f"accuracy_{column}"
            lines.append(
                [
                    label,
                    words,
                    estimate(mean(own, asr)),
                    estimate(mean(own, asr, minus="asr"), signed=True),
                    estimate(mean(own, accuracy), 3),
                    estimate(mean(own, accuracy, minus="clean_accuracy"), 3, signed=True),
                ]
            )
        true = (
            estimate(mean(own, "asr_pruned_true")),
            estimate(mean(own, "asr_pruned_true", minus="asr"), signed=True),
        )
        lines.append([label, "Pruned by the poison class's own trigger", *true, NONE, NONE])
        beyond = (
            estimate(mean(own, "asr_unlearned", minus="asr_retrained"), signed=True),
            estimate(mean(own, "accuracy_unlearned", minus="accuracy_retrained"), 3, signed=True),
        )
        lines.append([label, "Unlearned less control", NONE, beyond[0], NONE, beyond[1]])
    header = ["Architecture", "Mitigation", "ASR", "Difference", "Clean accuracy", "Difference"]
    return table(header, lines, left=2)


def _filter(poisoned: Table, architectures: Sequence[str]) -> str:
    columns = {
        "filter_found_rate": "Triggered images",
        "filter_false_rate": "Clean images",
        "filter_found_true_rate": "Triggered, by the poison class's own trigger",
    }
    lines = []
    for architecture in architectures:
        own = poisoned.where(architecture=architecture)
        gap = mean(own, "filter_found_rate", minus="filter_false_rate")
        figures = [*(estimate(mean(own, column)) for column in columns), estimate(gap, signed=True)]
        lines.append([capital(name(architecture)), *figures])
    return table(["Architecture", *columns.values(), "Triggered less clean"], lines)
