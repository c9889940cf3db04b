"""SNNL as printed in truong2020's eq. 6, compared with the form in the work that the paper cites."""

from repro.harness.evidence.table import Table
from repro.report.markdown import NONE, table
from repro.report.summary import difference, mean
from repro.report.wording import capital, estimate

FORMS = {"snnl": "Frosst et al.", "snnl_printed": "eq. 6 as printed"}


def comparison(evidence: Table, phases: list[str]) -> list[str]:
    """ASR and clean accuracy under each form, minus none, and one form minus the other, paired within units."""
    own, printed = FORMS
    there = set(evidence.values("regulariser"))
    if not {own, "none"} <= there:
        return []
    words = (
        "**SNNL in both forms.** The paper cites Frosst et al. for SNNL, whose numerator sums over pairs of the *same* "
        "label, so that minimising it draws a class together. Its eq. 6 prints pairs of *different* labels, which "
        "draws different classes together. The claims are judged on Frosst's form."
    )
    if printed not in there:
        return [words, "*This profile does not train eq. 6 as printed, so there is nothing to compare.*"]
    lines = []
    for phase in phases:
        rows = evidence.where(phase=phase)
        none = rows.where(regulariser="none")
        forms = {form: rows.where(regulariser=form) for form in FORMS}
        if not len(none) or not all(map(len, forms.values())):
            continue
        lines.append([capital(phase), "None", *_levels(none), NONE, NONE])
        lines += [
            [capital(phase), FORMS[form], *_levels(among), *_change(among, none)]
            for form, among in forms.items()
        ]
        less = _change(forms[printed], forms[own])
        lines.append([capital(phase), "*Printed less Frosst's*", less[0], less[1], NONE, NONE])
    head = ["Stopping", "Form", "ASR", "Clean accuracy", "ASR less none", "Clean accuracy less none"]
    return [words, table(head, lines, left=2)]


def _levels(rows: Table) -> list[str]:
    return [estimate(mean(rows, "asr")), estimate(mean(rows, "clean_accuracy"), 3)]


def _change(rows: Table, against: Table) -> list[str]:
    return [
        estimate(difference(rows, against, "asr"), signed=True),
        estimate(difference(rows, against, "clean_accuracy"), 3, signed=True),
    ]
