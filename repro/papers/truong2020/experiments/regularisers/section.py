"""Regularisers against the backdoor: Figures 4 and 5 of truong2020, early-stopped and at a fixed number of epochs."""

from repro.harness.evidence.table import Table
from repro.papers.truong2020 import published
from repro.papers.truong2020.experiments.regularisers.figures import box_plots, heat_map
from repro.papers.truong2020.experiments.regularisers.forms import comparison
from repro.report.markdown import details, table
from repro.report.report import Report
from repro.report.summary import difference, mean, ordered
from repro.report.wording import beside, capital, estimate, listing, name, number

TITLE = "Regularisers: Figures 4 and 5"
PLACE = 40

_PHASES = {
    "early-stopped": "early-stopped, as in the paper",
    "fixed-epochs": "every model trained for the same number of epochs",
}
_ORDER = ("none", "logit_squeezing", "manifold_mixup", "contrastive", "snnl", "snnl_printed")


def blocks(report: Report, evidence: Table) -> list[str]:
    """For both ways of stopping a table and a heat map, the box plots of both, and eq. 6 beside Frosst's form."""
    regularisers = ordered(evidence.values("regulariser"), _ORDER)
    before, after = published.SNNL_ASR
    same = _same_as_paper(report, evidence)
    triggers = listing([name(trigger) for trigger in evidence.values("trigger")])
    found = [
        f"Each regulariser at its tuned weight, on every architecture, trigger: {triggers}. The paper, on ResNet-50 "
        f"and Flowers: mean ASR {number(before)} with none, {number(after)} under SNNL. Differences are paired within "
        "units. Part of a difference under early stopping may come from stopping sooner, so the same comparison is "
        f"also made at a fixed {report.profile.fixed_epochs} epochs.",
    ]
    for phase in ordered(evidence.values("phase"), list(_PHASES)):
        rows = evidence.where(phase=phase)
        found += [f"**{capital(_PHASES.get(phase, phase))}**", _table(rows, regularisers)]
        if same and phase == "early-stopped":
            found.append(same)
    found.append(_per_architecture(evidence, regularisers))
    for phase in ordered(evidence.values("phase"), list(_PHASES)):
        found.append(heat_map(report, evidence.where(phase=phase), phase, regularisers))
    found.append(
        "*Like Figure 4: mean over units and architectures by poison class; the colour is the difference to none, blue "
        "where the regulariser lowers the value; the second line of a field is that difference.*"
    )
    found.append(box_plots(report, evidence, regularisers, list(_PHASES)))
    found.append(
        "*Like Figure 5: a box spans the middle half of the models, its line is the median, the cross the mean.*"
    )
    return found + comparison(evidence, ordered(evidence.values("phase"), list(_PHASES)))


def _same_as_paper(report: Report, evidence: Table) -> str:
    """The two figures that 4.3 prints beside ours on the same data, model and trigger; nothing on any other."""
    architecture = published.architecture_of("ResNet-50")
    if published.dataset_of(report.profile.data.name) != "Flowers":
        return ""
    rows = evidence.where(architecture=architecture, trigger="square", phase="early-stopped")
    cells = [
        f"{name(regulariser)} {beside(theirs, mean(rows.where(regulariser=regulariser), 'asr'))}"
        for regulariser, theirs in zip(("none", "snnl"), published.SNNL_ASR, strict=True)
    ]
    words = "Section 4.3 beside ours, mean ASR on ResNet-50, Flowers, square, the paper's figure / **ours** (ours less"
    return f"{words} the paper's): {'; '.join(cells)}." if len(rows) else ""


def _table(rows: Table, regularisers: list[str]) -> str:
    none = rows.where(regulariser="none")
    lines = []
    for regulariser in regularisers:
        among = rows.where(regulariser=regulariser)
        plain = regulariser == "none"
        lines.append(
            [
                capital(name(regulariser)),
                estimate(mean(among, "asr")),
                estimate(None if plain else difference(among, none, "asr"), signed=True),
                estimate(mean(among, "clean_accuracy"), 3),
                estimate(None if plain else difference(among, none, "clean_accuracy"), 3, signed=True),
                estimate(mean(among, "epochs"), 1),
                number(_mean(among, "clean_model_asr")),
            ]
        )
    return table(["Regulariser", "ASR", "less none", "Clean accuracy", "less none", "Epochs", "Floor"], lines)


def _mean(rows: Table, metric: str) -> float | None:
    found = mean(rows, metric)
    return found.mean if found else None


def _per_architecture(evidence: Table, regularisers: list[str]) -> str:
    lines = []
    for architecture in map(str, evidence.values("architecture")):
        for regulariser in regularisers:
            if regulariser == "none":
                continue
            cells = []
            for phase in ordered(evidence.values("phase"), list(_PHASES)):
                rows = evidence.where(phase=phase, architecture=architecture)
                none, among = rows.where(regulariser="none"), rows.where(regulariser=regulariser)
                cells += [
                    estimate(difference(among, none, "asr"), signed=True),
                    estimate(difference(among, none, "clean_accuracy"), 3, signed=True),
                ]
            weights = evidence.where(architecture=architecture, regulariser=regulariser).values("weight")
            weight = ", ".join(f"{float(w):g}" for w in weights if isinstance(w, int | float))
            lines.append([name(architecture), capital(name(regulariser)), weight, *cells])
    heads = [
        f"{capital(metric)}, {phase}"
        for phase in ordered(evidence.values("phase"), list(_PHASES))
        for metric in ("ASR", "accuracy")
    ]
    return details(
        "By architecture: weight, and differences to none",
        table(["Model", "Regulariser", "Weight", *heads], lines, left=2),
    )
