"""How the comparative study's weights were chosen, and the strongest attempt with the margin loss."""

from repro.harness.evidence.table import Table
from repro.papers.desanctis.experiments.comparative import (
    STRONGEST,
    chosen_weights,
    disagreements,
    strongest_attempt,
)
from repro.papers.desanctis.victims.defences import STYLES, WEIGHTS, less_none, title, words
from repro.papers.desanctis.victims.section import attacks, measured, poison, side, victims
from repro.report.markdown import NONE, bullets, details, escape, table
from repro.report.report import Report
from repro.report.summary import difference, ordered
from repro.report.wording import capital, estimate, listing

_GRID = {
    "test_accuracy": "Held-out accuracy",
    "target_auc": "AUC, target",
    "auc": "AUC, overall",
}
_TOLD = {1: "higher", -1: "lower", 0: "not told apart"}


def chosen(report: Report, evidence: Table) -> list[str]:
    """The rule in words, its choices, where the profile differs from them, and every grid folded away."""
    tuned = evidence.where(phase="tuned")
    if "comparative" not in report.profile.experiments or not len(tuned.where(regulariser="none")):
        return []
    s = report.profile.settings("comparative")
    chooses = chosen_weights(evidence, s.accuracy_budget)
    defences = ordered(list(chooses), tuple(STYLES))
    lines = []
    for defence in defences:
        weight, within = chooses[defence]
        tried = [f"{w:g}" for w in _weights(tuned, defence)]
        at = tuned.where(regulariser=defence, weight=weight)
        less = difference(at, tuned.where(regulariser="none"), "test_accuracy")
        lines.append(
            [
                title(defence),
                WEIGHTS.get(defence, "factor of the loss added"),
                ", ".join(tried),
                f"**{weight:g}**" + ("" if within else " †"),
                estimate(less, 3, signed=True),
            ]
        )
    found = [
        "**How weights were chosen.** The documents give none. The rule was fixed beforehand: the heaviest weight of "
        "a defence's grid whose mean held-out accuracy, trained from scratch without poison, is at most "
        f"{s.accuracy_budget:g} below that of no defence; if even the lightest costs more, the lightest (†). It never "
        f"uses exposure, and its {len(tuned.values('unit'))} units use seeds outside the evidence.",
        table(["Defence", "Its weight", "Grid", "Chosen", "Held-out accuracy less none's"], lines, left=3),
    ]
    if wrong := _disagreements(report, evidence):
        found += ["**The profile does not use what the rules choose:**", bullets(map(escape, wrong))]
    return [*found, _grid(tuned, defences, chooses)]


def _disagreements(report: Report, evidence: Table) -> list[str]:
    """The experiment's own findings; empty if the evidence is not of this profile's defences."""
    tuned = {str(d) for d in evidence.where(phase="tuned").values("regulariser")} - {"none"}
    known = set(report.profile.settings("comparative").defences)
    return disagreements(report.profile, evidence) if tuned <= known and _attempts(evidence) else []


def _grid(tuned: Table, defences: list[str], chooses: dict[str, tuple[float, bool]]) -> str:
    lines = []
    for defence in ["none", *defences]:
        for weight in _weights(tuned, defence):
            rows = tuned.where(regulariser=defence, weight=weight)
            mark = "chosen" if weight == chooses.get(defence, (None,))[0] else ""
            lines.append([title(defence), f"{weight:g}", *(measured(rows, m) for m in _GRID), mark])
    header = ["Defence", "Weight", *_GRID.values(), ""]
    return details(f"The grids: {len(lines)} settings with 95 % intervals", table(header, lines))


def _weights(rows: Table, defence: str) -> list[float]:
    """The weights of a defence that were tried, ascending."""
    found = rows.where(regulariser=defence).values("weight")
    return sorted(float(weight) for weight in found if isinstance(weight, int | float))


def _attempts(evidence: Table) -> list[tuple[str, float]]:
    """Every form and weight of the margin loss that was tried on the tuning's seeds."""
    attempted = evidence.where(phase="attempted")
    forms = ordered(attempted.values("regulariser"), ("margin", "margin_sampled"))
    return [(form, weight) for form in forms if form != "none" for weight in _weights(attempted, form)]


def strongest(report: Report, evidence: Table) -> list[str]:
    """What was tried to make the margin loss lower exposure, and how the strongest attempt does on fresh seeds."""
    attempts = _attempts(evidence)
    found = []
    if attempts:
        best = strongest_attempt(evidence)
        attempted = evidence.where(phase="attempted")
        kinds = victims(attempted)
        units = len(attempted.values("unit"))
        found += [
            "**The strongest attempt with the margin loss.** So that the loss is not judged by a badly chosen weight, "
            f"{len(attempts)} attempts, with all pairs and with sampled ones, were made under clean-label poison on "
            f"{units} units of the tuning's seeds, this time using exposure: the one with the lowest mean AUC in the "
            f"target class is taken, {words(best[0])} at weight {best[1]:g}. That choice favours the loss on those "
            "seeds, so only the evidence's own decide.",
            _tried(attempted, attempts, best, kinds),
        ]
    return found + _on_evidence(report, evidence)


def _tried(
    attempted: Table, attempts: list[tuple[str, float]], best: tuple[str, float], kinds: list[str]
) -> str:
    """AUC in the target class on the tuning's seeds, by attempt and victim, and its difference to no defence."""
    lines = []
    for form, weight in [("none", 0.0), *attempts]:
        cells = []
        for victim in kinds:
            rows = attempted.where(victim=victim)
            own, none = rows.where(regulariser=form, weight=weight), rows.where(regulariser="none")
            less = None if form == "none" else difference(own, none, "target_auc")
            cells += [measured(own, "target_auc"), estimate(less, 3, signed=True)]
        mark = "taken" if (form, weight) == best else ""
        lines.append([title(form), f"{weight:g}" if weight else NONE, *cells, mark])
    header = ["On the tuning's seeds", "Weight"]
    for victim in kinds:
        header += [f"AUC, target: {victim}", "less none's"]
    return table([*header, ""], lines)


def _on_evidence(report: Report, evidence: Table) -> list[str]:
    """How the strongest attempt does against no defence on the evidence's seeds, one line per victim and attack."""
    final = evidence.where(phase="final", regulariser=STRONGEST)
    said = []
    for attack in attacks(final):
        for victim in victims(final.where(attack=attack)):
            moments = []
            for phase, when in (("final", "after training"), ("matched", "at matched accuracy")):
                if pair := less_none(evidence, phase, victim, attack, STRONGEST):
                    less = difference(*pair, "target_auc")
                    moments.append(f"{estimate(less, 3, signed=True)} {when} ({_TOLD[side(less)]})")
            if moments:
                said.append(f"{capital(poison(attack))}, {victim}: {listing(moments)}.")
    if not said:
        return []
    taken = ""
    if "comparative" in report.profile.experiments:
        settings = report.profile.settings("comparative").strongest
        taken = f"{words(settings.defence)} at weight {settings.weight:g}, "
    return [
        f"On the evidence's seeds, {taken}AUC in the target class less that of no defence:",
        bullets(said),
    ]
