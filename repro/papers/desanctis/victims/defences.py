"""The defences of the comparative study: their order, names, families, and how a figure tells them apart."""

from typing import Any

from repro.harness.evidence.table import Table
from repro.report.figures import BLUE, GREEN, GREY, ORANGE, SKY, VERMILLION
from repro.report.wording import capital, name

PURPLE = "#CC79A7"
NAMES = {
    "none": "none",
    "base_contrastive": "base contrastive loss",
    "margin": "margin loss",
    "margin_sampled": "margin loss, sampled pairs",
    "margin_strongest": "margin loss, strongest attempt",
    "triplet": "triplet loss",
    "nt_xent": "NT-Xent",
    "nt_logistic": "NT-Logistic",
    "weight_decay": "weight decay",
    "label_smoothing": "label smoothing",
    "early_stopping": "early stopping",
    "dp_sgd": "DP-SGD",
    "crl": "CRL",
}
WEIGHTS = {
    "dp_sgd": "noise multiplier",
    "crl": "level of the relaxed cross entropy",
    "label_smoothing": "share of the target spread over all classes",
    "weight_decay": "factor of half the squared norm of the parameters",
}
STYLES: dict[str, dict[str, Any]] = {
    "none": {"color": VERMILLION, "linestyle": "-", "marker": "X", "linewidth": 2.4},
    "margin": {"color": BLUE, "linestyle": "-", "marker": "o"},
    "margin_sampled": {"color": BLUE, "linestyle": "--", "marker": "s"},
    "margin_strongest": {"color": BLUE, "linestyle": ":", "marker": "D", "linewidth": 2.2},
    "base_contrastive": {"color": SKY, "linestyle": "-", "marker": "o"},
    "triplet": {"color": SKY, "linestyle": "--", "marker": "^"},
    "nt_xent": {"color": SKY, "linestyle": "-.", "marker": "v"},
    "nt_logistic": {"color": SKY, "linestyle": ":", "marker": "P"},
    "weight_decay": {"color": GREEN, "linestyle": "-", "marker": "h"},
    "label_smoothing": {"color": GREEN, "linestyle": "--", "marker": "d"},
    "early_stopping": {"color": "black", "linestyle": "none", "marker": "*"},
    "dp_sgd": {"color": ORANGE, "linestyle": "-", "marker": "p"},
    "crl": {"color": PURPLE, "linestyle": "-", "marker": "<"},
}


def words(defence: str) -> str:
    """A defence as tables and sentences say it."""
    return NAMES.get(defence, name(defence))


def title(defence: str) -> str:
    """The same as the first cell of a line."""
    return capital(words(defence))


def style(defence: str) -> dict[str, Any]:
    """Colour by family, line and marker by defence."""
    return STYLES.get(defence, {"color": GREY, "linestyle": "-", "marker": "x"})


def less_none(
    evidence: Table, phase: str, victim: str, attack: str, defence: str
) -> tuple[Table, Table] | None:
    """A defence's rows and those of no defence; None for no defence itself, or if either is missing.

    At matched accuracy, the rows of no defence are those matched with that defence.
    """
    rows = evidence.where(phase=phase, victim=victim, attack=attack)
    if phase == "matched":
        rows = rows.where(versus=defence)
    own, none = rows.where(regulariser=defence), rows.where(regulariser="none")
    return (own, none) if defence != "none" and len(own) and len(none) else None
