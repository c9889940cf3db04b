"""How numbers, names and verdicts are written in reports: one way for each, everywhere."""

import math
from collections.abc import Sequence

from repro.claims.rules import Outcome
from repro.claims.verdicts import Interval
from repro.report.markdown import MINUS, NONE, SPACE, code, escape
from repro.report.summary import Estimate

SYMBOLS: dict[Outcome, str] = {
    "reproduced": "\u2714",
    "contradicted": "\u2718",
    "inconclusive": "?",
    "reported": "\u2261",
    "not applicable": "n/a",
    "not measured": "\u00b7",
}
MEANINGS: dict[Outcome, str] = {
    "reproduced": "the interval lies where the claim says, beyond the minimum effect or inside the margin",
    "contradicted": "the interval lies clearly elsewhere: a finding, reported as it is",
    "inconclusive": "the evidence was made and does not decide; neither a pass nor a failure",
    "reported": "the comparison is in the report; the paper asserts no direction, so that nothing is judged",
    "not applicable": "this profile's data or models cannot test it, for the reason given",
    "not measured": "no experiment of this profile measures it yet",
}

_NAMES = {
    "none": "none",
    "snnl": "SNNL",
    "snnl_printed": "SNNL, eq. 6 as printed",
    "contrastive": "contrastive loss",
    "margin": "margin loss",
    "mlp": "MLP",
    "cnn": "CNN",
    "cnn_bn": "CNN+BN",
    "cnn_small": "narrow CNN",
    "cnn_wide": "wide CNN",
    "dirty_label": "dirty-label",
    "clean_label": "clean-label",
    "resnet50": "ResNet-50",
    "nasnet_large": "NASNet",
    "nasnet_mobile": "NASNet-Mobile",
}


def name(value: object) -> str:
    """A piece's name in words: ``low_variance`` is low variance, ``snnl`` is SNNL."""
    return _NAMES.get(str(value), str(value).replace("_", " "))


def capital(text: str) -> str:
    """Text with its first letter large, the others as they are."""
    return text[:1].upper() + text[1:]


def number(value: float | None, digits: int = 2, *, signed: bool = False) -> str:
    """A number with fixed decimals; a dash where there is none. No negative zero."""
    if value is None or math.isnan(value):
        return NONE
    text = f"{value:+.{digits}f}" if signed else f"{value:.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("+-")
    return text.replace("-", MINUS)


def estimate(figure: Estimate | None, digits: int = 2, *, signed: bool = False) -> str:
    """A mean with the half width of its 95 % interval: 0.70 ± 0.04; alone where there is no interval or no spread."""
    if figure is None:
        return NONE
    if not figure.half_width:
        return number(figure.mean, digits, signed=signed)
    spread = number(figure.half_width, digits)
    return f"{number(figure.mean, digits, signed=signed)}{SPACE}±{SPACE}{spread}"


def beside(theirs: float | None, figure: Estimate | None, digits: int = 2) -> str:
    """The paper's figure and ours in one field: 0.75 / **0.71 ± 0.03** (-0.04), ours less the paper's in brackets.

    ``digits`` are ours; the paper prints two.
    """
    ours = f"**{estimate(figure, digits)}**" if figure else NONE
    if figure is None or theirs is None:
        return f"{number(theirs)}{SPACE}/{SPACE}{ours}"
    return f"{number(theirs)}{SPACE}/{SPACE}{ours} ({number(figure.mean - theirs, signed=True)})"


def arrow(before: float | None, after: float | None, digits: int = 2) -> str:
    """A figure before and after: 0.75 → 0.08."""
    return f"{number(before, digits)}{SPACE}\u2192{SPACE}{number(after, digits)}"


def interval(ends: Interval | None, digits: int = 3, *, signed: bool = True) -> str:
    """An interval by its two ends."""
    if ends is None:
        return NONE
    return f"[{f',{SPACE}'.join(number(end, digits, signed=signed) for end in ends)}]"


def percent(level: float) -> str:
    """A confidence level: 99.8 %, 99.81 %, 95 %."""
    return f"{100 * level:.2f}".rstrip("0").rstrip(".") + " %"


def verdict(outcome: Outcome) -> str:
    """A verdict with its symbol."""
    return f"{SYMBOLS[outcome]} {outcome}".replace(" ", SPACE)


def listing(items: Sequence[object]) -> str:
    """Items in words: a, b and c."""
    words = [str(item) for item in items]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def evidence_link(experiment: str, *, prefix: str = "") -> str:
    """A link to an experiment's table, seen from the profile's report."""
    return f"[{code(f'{experiment}.csv')}]({prefix}evidence/{experiment}.csv)"


def metric(column: str, minus: str | None = None) -> str:
    """A measured column in words: ``clean_accuracy`` is clean accuracy, ``target_auc`` target AUC."""
    words = column.replace("_", " ").replace("asr", "ASR").replace("auc", "AUC")
    return f"{words} less {metric(minus)}" if minus else words


def sentence(words: str) -> str:
    """Free text as the end of a sentence."""
    return escape(words) + ("" if words.endswith((".", "!", "?")) else ".")


def text(value: str | None) -> str:
    """Free text of the claims or the judge as Markdown; a dash where there is none."""
    return escape(value) if value else NONE
