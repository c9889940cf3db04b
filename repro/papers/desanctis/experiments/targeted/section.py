"""Targeted clean-label poisoning: its success beside the placebo's, where the poisons lie, and the margin loss."""

from dataclasses import dataclass

from repro.harness.evidence.table import Table
from repro.papers.desanctis.experiments.targeted import strongest_attempt
from repro.papers.desanctis.experiments.targeted.pictures import pictures
from repro.report.figures import BLUE, GREY, VERMILLION, canvas, errorbars, legend_below, look
from repro.report.markdown import table
from repro.report.report import Report
from repro.report.summary import difference, mean, ordered
from repro.report.wording import capital, estimate, name

TITLE = "Targeted clean-label poisoning"
PLACE = 90

_VICTIMS = ("frozen", "end-to-end")
_REGULARISERS = ("none", "margin", "margin_sampled")
_SUCCESS = {
    "target_asr": "Target read as base, poisons",
    "placebo_asr": "Placebo",
    "clean_accuracy": "Held-out accuracy, poisons",
    "placebo_accuracy": "Placebo",
}
_READINGS = {
    "poison_as_target_rate": "Poisons read as target, clean model",
    "base_as_target_rate": "Their bases",
    "poison_as_base_rate": "Poisons read as base, poisoned model",
}
_PLACES = {
    "nearer_target_rate": "Nearer target, features",
    "nearer_base_rate": "Nearer base, pixels",
    "collapsed_rate": "Nearer target, victim's own features",
    "feature_ratio": "Feature ratio",
    "input_ratio": "Input ratio",
}
_DIFFERENCES = {
    "collapsed_rate": "Nearer target, victim's own features",
    "target_asr": "Target read as base",
    "clean_accuracy": "Held-out accuracy",
}


@dataclass(frozen=True)
class _Condition:
    """The rows of one victim, number of poisons, watermark and defence."""

    victim: str
    budget: int
    watermark: float
    regulariser: str
    rows: Table

    @property
    def words(self) -> list[str]:
        """Victim, poisons, watermark and defence as cells of a table."""
        defence = "none" if self.regulariser == "none" else name(self.regulariser)
        return [capital(self.victim), str(self.budget), f"{self.watermark:g}", defence]


def blocks(report: Report, evidence: Table) -> list[str]:
    """Success beside the placebo's, readings, distances, and the margin loss against no defence."""
    attacked = evidence.where(phase="attacked")
    conditions = _conditions(attacked)
    return [
        "Poisons are images of a base class, changed until they collide with one held-out image of another class, the "
        "target, in the features of a public encoder (eq. 1); their label stays the base class. *Frozen* victims "
        "train a linear head on those features, *end-to-end* victims all layers of the encoder under a fresh head. "
        "*Placebo* victims are trained on the same base images as they were: what the target's reading changes under "
        f"them is no work of the poisons. Targets are images that the clean victim reads correctly.{_protocol(report)}",
        _plot(report, conditions),
        "*Success: share of units whose target is classified as the base class; 95 % intervals.*",
        "**Success**, and accuracy on held-out images",
        _table(conditions, _SUCCESS),
        "**How poisons are read**",
        _table(conditions, _READINGS),
        "**Where poisons lie**: share nearer to the target (or to their own base) than to the other; the *feature "
        "ratio* is the poison's distance to the target over its base's, in the encoder's features, the *input ratio* "
        "the poison's distance to its base over the target's, in pixels. Under a watermark, the base is the image "
        "without it.",
        _table(conditions, _PLACES),
        *_pictures(report, conditions),
        *_less_none("The margin loss less no defence", attacked, attacked),
        *_strongest(evidence, attacked),
    ]


def _protocol(report: Report) -> str:
    """The victims' sizes and recipes, as the profile sets them."""
    if "targeted" not in report.profile.experiments:
        return ""
    s = report.profile.settings("targeted")
    return (
        f" Each victim has {s.members} members and {s.nonmembers} non-members (Adam, batches of {s.batch_size}; frozen "
        f"{s.frozen.epochs} epochs at {s.frozen.learning_rate:g}, end-to-end {s.end_to_end.epochs} at "
        f"{s.learning_rate:g}). Poisons are crafted with beta {s.crafting.beta:g} (in units of each pair's "
        f"ratio of squared feature and pixel distances) in {s.crafting.iterations} steps; the margin loss has weight "
        f"{s.margin_weight:g}."
    )


def _conditions(evidence: Table) -> list[_Condition]:
    """Every condition that occurs; those that differ only in the defence are adjacent."""
    return [
        _Condition(victim, budget, watermark, regulariser, among)
        for victim in ordered(evidence.values("victim"), _VICTIMS)
        for watermark in sorted(float(str(w)) for w in evidence.values("watermark"))
        for budget in sorted(int(str(b)) for b in evidence.values("budget"))
        for regulariser in ordered(evidence.values("regulariser"), _REGULARISERS)
        if len(
            among := evidence.where(
                victim=victim, watermark=watermark, budget=budget, regulariser=regulariser
            )
        )
    ]


def _table(conditions: list[_Condition], metrics: dict[str, str]) -> str:
    lines = [[*c.words, *(estimate(mean(c.rows, metric)) for metric in metrics)] for c in conditions]
    return table(["Victim", "Poisons", "Watermark", "Defence", *metrics.values()], lines, left=4)


def _pictures(report: Report, conditions: list[_Condition]) -> list[str]:
    """The first of each group of conditions that differ only in the defence and so have the same poisons."""
    first: dict[tuple[str, ...], tuple[str, Table]] = {}
    for condition in conditions:
        first.setdefault(tuple(condition.words[:3]), (_poisons(condition), condition.rows))
    return pictures(report, list(first.values()))


def _less_none(title: str, defended: Table, attacked: Table) -> list[str]:
    plain = [c for c in _conditions(attacked) if c.regulariser == "none"]
    lines = [
        [
            *own.words[:3],
            *(estimate(difference(own.rows, none.rows, m), signed=True) for m in _DIFFERENCES),
        ]
        for none in plain
        for own in _conditions(defended)
        if own.regulariser != "none" and none.words[:3] == own.words[:3]
    ]
    if not lines:
        return []
    header = ["Victim", "Poisons", "Watermark", *_DIFFERENCES.values()]
    return [f"**{title}**, paired within units:", table(header, lines, left=3)]


def _strongest(evidence: Table, attacked: Table) -> list[str]:
    """The attempts with the margin loss on the tuning's seeds, and how the chosen one does on the evidence's."""
    attempted, strongest = evidence.where(phase="attempted"), evidence.where(phase="strongest")
    if not len(attempted) or not len(strongest):
        return []
    form, weight = strongest_attempt(evidence)
    lines = [
        [
            _attempt(str(form_tried)),
            f"{float(str(weight_tried)):g}",
            *(estimate(mean(rows, metric)) for metric in _DIFFERENCES),
        ]
        for form_tried in attempted.values("regulariser")
        for weight_tried in sorted(map(float, map(str, attempted.values("weight"))))
        if len(rows := attempted.where(regulariser=form_tried, weight=weight_tried))
    ]
    return [
        f"**The strongest attempt.** Of the margin loss's weights tried, with all pairs and with pairs sampled by "
        f"distance, {_attempt(form)} at weight {weight:g} left the smallest share of collapsed poisons on the tuning's "
        "seeds:",
        table(["Form", "Weight", *_DIFFERENCES.values()], lines, left=1),
        *_less_none("The strongest attempt less no defence, on the evidence's seeds", strongest, attacked),
    ]


def _attempt(form: str) -> str:
    return {"none": "no defence", "margin": "all pairs", "margin_sampled": "sampled pairs"}.get(
        form, name(form)
    )


def _plot(report: Report, conditions: list[_Condition]) -> str:
    with look():
        figure, axes = canvas(height=3.2, width=8.5)
        axis = axes[0][0]
        styles = (
            ("target_asr", "poisons", VERMILLION, "o", -0.12),
            ("placebo_asr", "placebo", GREY, "s", 0.12),
        )
        for metric, label, color, marker, offset in styles:
            points = [mean(c.rows, metric) for c in conditions]
            errorbars(axis, offset, points, label, {"color": color, "marker": marker})
        axis.set_xticks(range(len(conditions)), [_tick(c) for c in conditions])
        for tick, condition in zip(axis.get_xticklabels(), conditions, strict=True):
            if condition.regulariser != "none":
                tick.set_color(BLUE)
        axis.set_ylabel("target read as base class")
        axis.set_ylim(-0.03, 1.03)
        legend_below(figure, *axis.get_legend_handles_labels())
        return report.picture(
            "targeted", figure, "Share of targets read as the base class, by victim, poisons and defence"
        )


def _tick(condition: _Condition) -> str:
    defence = "" if condition.regulariser == "none" else name(condition.regulariser)
    return "\n".join(filter(None, (_poisons(condition), defence)))


def _poisons(condition: _Condition) -> str:
    """Victim, poisons and watermark, one per line."""
    poisons = f"{condition.budget} poison{'s' if condition.budget > 1 else ''}"
    watermark = f"watermark {condition.watermark:g}" if condition.watermark else ""
    return "\n".join(filter(None, (condition.victim, poisons, watermark)))
