"""Comparative study of defences against membership exposure: AUC and accuracy by attack and victim (desanctis)."""

from repro.harness.evidence.table import Table
from repro.papers.desanctis.experiments.comparative.figure import figure
from repro.papers.desanctis.experiments.comparative.weights import chosen, strongest
from repro.papers.desanctis.victims.defences import STYLES, less_none, title
from repro.papers.desanctis.victims.section import (
    LOW_RATES,
    METRIC,
    attacks,
    folded_accuracies,
    low_rates,
    measured,
    met,
    poison,
    side,
    victims,
    what_victims_are,
)
from repro.report.markdown import NONE, SPACE, bullets, details, table
from repro.report.report import Report
from repro.report.summary import difference, mean, ordered
from repro.report.wording import arrow, capital, estimate, listing

TITLE = "Defences against membership exposure, compared"
PLACE = 82

_LOW = "tpr_at_0.01"
_SHOWN = {
    "target_auc": "AUC, target",
    "auc": "AUC, overall",
    _LOW: LOW_RATES[_LOW],
    "test_accuracy": "Held-out accuracy",
}
_LESS = {"auc": "AUC, overall", "test_accuracy": "Held-out accuracy"}
_DELTA = "1e-4"

Panel = tuple[str, str]  # victim and attack


def blocks(report: Report, evidence: Table) -> list[str]:
    """How weights were chosen, the defences by attack and victim, along training, the strongest attempt, and CRL."""
    final = evidence.where(phase="final")
    found = [
        " ".join(filter(None, (METRIC, what_victims_are(final), _protocol(report)))),
        *chosen(report, evidence),
    ]
    if shown := figure(report, evidence):
        found += [
            shown,
            "*AUC in the target class against held-out accuracy from the first to the last epoch looked at, means over "
            "units; the marker is where training ends (for early stopping, the mean over where it stops each "
            "undefended victim). Down and to the right is better. Values to the left of the axis are not shown. "
            "Colours are families: contrastive losses blue, the margin loss among them darker; regularisation green.*",
        ]
    panels = [(victim, attack) for attack in attacks(final) for victim in victims(final)]
    for panel in panels:
        found += _panel(evidence, panel)
    return [*found, *strongest(report, evidence), *_crl(final)]


def _protocol(report: Report) -> str:
    """The victims' sizes and recipe, as the profile sets them."""
    if "comparative" not in report.profile.experiments:
        return ""
    s = report.profile.settings("comparative")
    poisons = met({piece: [attack.budget] for piece, attack in s.attacks.items()})
    return (
        f"Each has {s.members} members, {s.nonmembers} non-members and {s.validation} validation images of its own, "
        f"trains for {s.checkpoints[-1]} epochs (Adam {s.learning_rate:g}, batches of {s.batch_size}) and meets "
        f"{poisons}. *Early stopping* is the undefended victim at its highest validation accuracy. *Matched* compares "
        "each victim with the undefended one where both first reach the same held-out accuracy, over ten such "
        f"accuracies. {low_rates(s.nonmembers)}"
    )


def _panel(evidence: Table, panel: Panel) -> list[str]:
    """One victim under one attack: every defence, and its differences to none, paired within units."""
    victim, attack = panel
    final = evidence.where(phase="final", victim=victim, attack=attack)
    lines, folded, others = [], [], []
    for defence in ordered(final.values("regulariser"), tuple(STYLES)):
        rows = final.where(regulariser=defence)
        less = {phase: less_none(evidence, phase, victim, attack, defence) for phase in ("final", "matched")}
        differences = [_difference(pair, "target_auc") for pair in less.values()]
        lines.append([title(defence), _weight(rows), *(measured(rows, m) for m in _SHOWN), *differences])
        folded.append(([title(defence)], rows))
        if defence != "none":
            others.append([title(defence), *(_difference(pair, m) for pair in less.values() for m in _LESS)])
    words = f"{victim} victims, {poison(attack)}"
    header = ["Defence", "Weight", *_SHOWN.values(), "Target AUC less none's", "The same, matched"]
    found = [
        f"**{capital(words)}**",
        table(header, lines),
        folded_accuracies(f"Accuracies: {words}", ["Defence"], folded),
    ]
    if others:
        moments = [f"{what}, {when}" for when in ("after training", "matched") for what in _LESS.values()]
        found.append(details(f"Other differences to none: {words}", table(["Defence", *moments], others)))
    return found


def _difference(pair: tuple[Table, Table] | None, metric: str) -> str:
    return estimate(difference(*pair, metric) if pair else None, 3, signed=True)


def _weight(rows: Table) -> str:
    """A defence's weight; for DP-SGD also its privacy budget."""
    weights = [float(w) for w in rows.values("weight") if isinstance(w, int | float) and w]
    spent = mean(rows, "epsilon") if "epsilon" in rows.columns else None
    shown = listing([f"{w:g}" for w in weights]) if weights else NONE
    return f"{shown} (ε{SPACE}{estimate(spent)}, δ{SPACE}{_DELTA})" if spent else shown


def _crl(final: Table) -> list[str]:
    """Whether clean-label poison amplifies exposure under CRL as it does without a defence, in words."""
    said = []
    for victim in victims(final):
        crl, none = (_moved(final, victim, defence) for defence in ("crl", "none"))
        if crl:
            without = f"; without a defence {none}" if none else ""
            said.append(f"{capital(victim)} victims: under CRL {crl}{without}.")
    if not said:
        return []
    return [
        "**CRL against clean-label poison.** Its samples meet only their own class's centre, so the document expects "
        "poison to amplify exposure under it too (5.1). AUC in the target class without and with poison, and its "
        "change paired within units:",
        bullets(said),
    ]


def _moved(final: Table, victim: str, defence: str) -> str | None:
    """How clean-label poison changes the target class's exposure under a defence; None if not measured."""
    rows = final.where(victim=victim, regulariser=defence)
    clean, poisoned = rows.where(attack="none"), rows.where(attack="clean_label")
    change, before, after = (
        difference(poisoned, clean, "target_auc"),
        mean(clean, "target_auc"),
        mean(poisoned, "target_auc"),
    )
    if not (change and before and after):
        return None
    said = {1: "amplified", -1: "reduced", 0: "no change told apart from 0"}[side(change)]
    return f"{arrow(before.mean, after.mean, 3)} ({estimate(change, 3, signed=True)}: {said})"
