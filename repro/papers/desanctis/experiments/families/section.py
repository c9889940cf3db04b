"""Families of triggers: success on seen and held-out triggers and on near misses, and what generalising depends on."""

from collections.abc import Callable, Sequence

from repro.harness.evidence.table import Cell, Table
from repro.papers.desanctis.experiments.families import pictures as family_pictures
from repro.papers.truong2020.experiments.regularisers.figures import class_name
from repro.report.figures import BLUE, GREY, ORANGE, VERMILLION, canvas, errorbars, legend_below, look
from repro.report.markdown import table
from repro.report.report import Report
from repro.report.summary import difference, mean, ordered
from repro.report.wording import capital, estimate, name

TITLE = "Triggers that generalise: families"
PLACE = 100

_FAMILIES = ("static", "shapes", "noise", "frequency", "corner")
_STATIC = "static"
_SIZES: tuple[Cell, ...] = ("cnn_small", "cnn", "cnn_wide")
_RATES = {"asr_seen": "Seen", "asr_unseen": "Held out", "asr_near_miss": "Near miss"}
_FLOORS = {
    "clean_seen": "Seen, clean model",
    "clean_unseen": "Held out, clean model",
    "clean_near_miss": "Near miss, clean model",
}
_ABLATIONS: dict[str, tuple[str, Callable[[Cell], str]]] = {
    "poison_rate": ("Poison rate", lambda value: f"{float(str(value)):g}"),
    "architecture": ("Architecture", name),
    "members": ("Training images", lambda value: "all" if value is None else f"{int(str(value)):,}"),
}


def blocks(report: Report, evidence: Table) -> list[str]:
    """Triggers, success by family beside its floors, against the static trigger, by class, and the ablations."""
    standard = evidence.where(ablation="none")
    families = ordered(standard.values("family"), _FAMILIES)
    pictured = "families" in report.profile.experiments
    return [
        "Every poisoned image carries its own trigger, and the held-out triggers differ from all that occur in "
        "training: circles and triangles are seen, squares and diamonds held out; a bank of noise patches is seen, "
        "other, perturbed draws are held out; the ends of a band of frequencies are seen, its middle at other "
        "orientations and phases is held out; flat and striped patches in one corner are seen, checks and noise there "
        "are held out. *Near misses* do not belong to the family: a straight stroke, a flat patch, a sinusoid's "
        "shuffled pixels, a patch in another corner, the square shifted. A model that responds to those has not "
        "learned the family. The *static* trigger is a single one, so that its held-out success is its success on "
        f"fresh images.{_protocol(report)}",
        *(family_pictures.blocks(report, families) if pictured else []),
        _plot(report, standard, families),
        "*Share of adversarial-test images classified as the poison class; 95 % intervals.*",
        "**Success by family**, and accuracy on clean images",
        _by_family(standard, families),
        "**Floors**: the clean model of the same unit on the same triggered images",
        _table(standard, families, _FLOORS),
        "**Less the static trigger**, paired within units; *gap* is seen less held out",
        _against_static(standard, families),
        "**Held-out success by poison class**",
        _by_class(report, standard, families),
        *[block for ablation in _ABLATIONS for block in _ablation(evidence, ablation)],
    ]


def _protocol(report: Report) -> str:
    """Poison rate, preparation and recipe, as the profile sets them."""
    if "families" not in report.profile.experiments:
        return ""
    s = report.profile.settings("families")
    return (
        f" Images are enlarged {s.enlarge} times and their ink is dimmed to {s.ink:g}; poison rate {s.poison_rate:g}; "
        f"{name(s.architecture)}, Adam at {s.learning_rate:g}, batches of {s.batch_size}, at most {s.epochs} epochs, "
        f"patience {s.patience}."
    )


def _table(rows: Table, families: Sequence[str], columns: dict[str, str]) -> str:
    lines = [
        [capital(name(f)), *(estimate(mean(rows.where(family=f), metric)) for metric in columns)]
        for f in families
    ]
    return table(["Family", *columns.values()], lines)


def _by_family(rows: Table, families: Sequence[str]) -> str:
    lines = []
    for family in families:
        own = rows.where(family=family)
        lines.append(
            [
                capital(name(family)),
                *(estimate(mean(own, metric)) for metric in _RATES),
                estimate(mean(own, "clean_accuracy"), 3),
                estimate(mean(own, "clean_accuracy", minus="clean_model_accuracy"), 3, signed=True),
            ]
        )
    return table(["Family", *_RATES.values(), "Clean accuracy", "Less the clean model's"], lines)


def _against_static(rows: Table, families: Sequence[str]) -> str:
    static = rows.where(family=_STATIC)
    lines = []
    for family in families:
        own = rows.where(family=family)
        if family != _STATIC:
            less = (estimate(difference(own, static, metric), signed=True) for metric in _RATES)
            gap = estimate(mean(own, "asr_seen", minus="asr_unseen"), signed=True)
            lines.append([capital(name(family)), *less, gap])
    return table(["Family", *_RATES.values(), "Gap"], lines)


def _by_class(report: Report, rows: Table, families: Sequence[str]) -> str:
    classes = sorted(rows.values("poison_class"), key=lambda value: int(str(value)))
    lines = [
        [
            capital(name(family)),
            *(estimate(mean(rows.where(family=family, poison_class=c), "asr_unseen")) for c in classes),
        ]
        for family in families
    ]
    return table(["Family", *(class_name(report, c) for c in classes)], lines)


def _ablation(evidence: Table, ablation: str) -> list[str]:
    """Success by the value that varies, over the ablation's units, including the standard value."""
    varied = evidence.where(ablation=ablation)
    if not len(varied):
        return []
    title, words = _ABLATIONS[ablation]
    units = set(varied.values("unit"))
    standard = Table(
        evidence.columns, tuple(row for row in evidence.where(ablation="none") if row["unit"] in units)
    )
    lines = []
    for family in ordered(varied.values("family"), _FAMILIES):
        own = [*varied.where(family=family), *standard.where(family=family)]
        for value in _in_order({row[ablation] for row in own}):
            rows = Table(evidence.columns, tuple(row for row in own if row[ablation] == value))
            figures = [estimate(mean(rows, metric)) for metric in _RATES]
            accuracy = estimate(mean(rows, "clean_accuracy"), 3)
            lines.append([capital(name(family)), words(value), *figures, accuracy])
    header = ["Family", title, *_RATES.values(), "Clean accuracy"]
    return [
        f"**By {title.lower()}**, over the first {len(units)} units",
        table(header, lines, left=2),
    ]


def _in_order(values: set[Cell]) -> list[Cell]:
    """Numbers by size, all (None) last; architectures by size if it is known, then by name."""

    def place(value: Cell) -> tuple[bool, float, str]:
        rank = _SIZES.index(value) if value in _SIZES else len(_SIZES)
        return value is None, value if isinstance(value, int | float) else rank, str(value)

    return sorted(values, key=place)


def _plot(report: Report, rows: Table, families: Sequence[str]) -> str:
    styles = (
        ("asr_seen", "seen", BLUE, "o", -0.18),
        ("asr_unseen", "held out", VERMILLION, "D", -0.06),
        ("asr_near_miss", "near miss", ORANGE, "^", 0.06),
        ("clean_unseen", "held out, clean model (floor)", GREY, "_", 0.18),
    )
    with look():
        figure, axes = canvas(height=3.0)
        axis = axes[0][0]
        for metric, label, color, marker, offset in styles:
            points = [mean(rows.where(family=family), metric) for family in families]
            errorbars(axis, offset, points, label, {"color": color, "marker": marker})
        axis.set_xticks(range(len(families)), [name(family) for family in families])
        axis.set_xlim(-0.5, len(families) - 0.5)
        axis.set_ylim(-0.03, 1.03)
        axis.grid(visible=False, axis="x")
        axis.set_ylabel("adversarial success rate")
        legend_below(figure, *axis.get_legend_handles_labels())
        return report.picture(
            "families-success", figure, "Success of each family on seen and held-out triggers and near misses"
        )
