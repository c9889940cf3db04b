"""Synthetic evidence of the experiments `amplification` and `comparative`, and pictures for `targeted`."""

from itertools import product
from typing import Any

import numpy as np
from synthetic_rows import FALSE_POSITIVE_RATES

from repro.harness.evidence.table import Row

BUDGETS = {"dirty_label": (5, 20, 60), "clean_label": (10, 30, 100)}
CHECKPOINTS = (1, 2, 5, 10, 20, 50, 100)
DEFENCES = {  # by name: weight, AUC in the target class less none's, held-out accuracy less none's
    "none": (0.0, 0.0, 0.0),
    "base_contrastive": (1.0, 0.03, 0.01),
    "margin": (1.0, 0.02, 0.02),
    "margin_sampled": (3.0, 0.01, 0.015),
    "triplet": (0.3, 0.025, 0.01),
    "nt_xent": (1.0, 0.035, 0.012),
    "nt_logistic": (1.0, 0.04, 0.008),
    "weight_decay": (0.001, -0.06, -0.01),
    "label_smoothing": (0.1, 0.015, 0.005),
    "dp_sgd": (1.0, -0.2, -0.12),
    "crl": (0.3, -0.1, -0.02),
    "margin_strongest": (10.0, -0.02, -0.005),
}
LEVELS = {"none": 0.57, "dirty_label": 0.8, "clean_label": 0.65}
MEASURED = ("auc", "target_auc", "member_accuracy", "test_accuracy", "target_accuracy", "other_accuracy")


def exposed_row(draw: np.random.Generator, unit: int, auc: float, accuracy: float, **given: Any) -> Row:
    """A row of a table of exposed victims; ``auc`` is the target class's."""
    noise = draw.normal(0, 0.01, size=7)
    row: Row = {
        "run": f"r{draw.integers(10**9):09d}x",
        "phase": "final",
        "unit": f"u{unit:03d}",
        "partition_seed": unit + 1,
        "seed": unit + 1,
        "target_class": unit % 10,
        "victim": "scratch",
        "attack": "none",
        "budget": 0,
        "architecture": "mlp",
        "regulariser": "none",
        "weight": 0.0,
        "epochs": 100.0,
        "auc": float(0.5 + (auc - 0.5) / 4 + noise[0]),
        "member_accuracy": float(0.99 + noise[1] / 10),
        "other_accuracy": float(accuracy + noise[2]),
        "other_auc": float(0.57 + noise[3]),
        "target_accuracy": float(accuracy - (auc - 0.5) + noise[4]),
        "target_auc": float(auc + noise[5]),
        "test_accuracy": float(accuracy + noise[2] / 2),
        "ties": 0.0,
    }
    rates = {f"tpr_at_{rate}": float(rate ** (1.3 - auc - noise[6])) for rate in FALSE_POSITIVE_RATES}
    return row | rates | given


def amplification(draw: np.random.Generator, units: int) -> list[Row]:
    """Dirty labels expose more with every budget; clean-label poison exposes frozen victims alone."""
    rows = []
    for victim in ("scratch", "fine-tuned", "frozen"):
        for attack, budget in (
            ("none", 0),
            *((attack, b) for attack, grid in BUDGETS.items() for b in grid),
        ):
            rise = 0.004 * budget if attack == "dirty_label" else 0.0015 * budget * (victim == "frozen")
            for unit in range(units):
                given = {"victim": victim, "attack": attack, "budget": budget}
                rows.append(exposed_row(draw, unit, 0.57 + rise, 0.94, **given))
    return rows


def comparative(
    draw: np.random.Generator, units: int, defences: tuple[str, ...] = tuple(DEFENCES)
) -> list[Row]:
    """Of every grid the middle weight is the heaviest within a budget of 0.02; DP-SGD never is."""
    rows: list[Row] = []

    def add(unit: int, auc: float, accuracy: float, **given: Any) -> None:
        more = {"validation_accuracy": accuracy, "versus": None, "epsilon": None}
        if given.get("regulariser") == "dp_sgd":
            more["epsilon"] = 3.25
        rows.append(exposed_row(draw, unit, auc, accuracy, **more) | given)

    tuned = [name for name in defences if name not in ("none", "margin_strongest")]
    for unit in range(units):
        add(unit, 0.57, 0.94, phase="tuned")
        for name in tuned:
            for step, weight in ((-0.001, 0.3), (-0.008, 1.0), (-0.05, 3.0)):
                lost = step - 0.1 * (name == "dp_sgd")
                add(unit, 0.57, 0.94 + lost, phase="tuned", regulariser=name, weight=weight)
    for victim, unit in product(("scratch", "fine-tuned"), range(units)):
        about = {"phase": "attempted", "victim": victim, "attack": "clean_label", "budget": 30}
        add(unit, 0.65, 0.94, **about)
        for form, weight in product(("margin", "margin_sampled"), (0.1, 1.0, 10.0)):
            lower = 0.05 if (form, weight) == ("margin_sampled", 10.0) else 0.0
            add(unit, 0.66 - lower, 0.94, **about, regulariser=form, weight=weight)
    for victim, (attack, level) in product(("scratch", "fine-tuned"), LEVELS.items()):
        about = {"victim": victim, "attack": attack, "budget": 20 if attack != "none" else 0}
        for name in defences:
            if attack == "none" and name not in ("none", "crl"):
                continue
            weight, less, lost = DEFENCES[name]
            mine = about | {"regulariser": name, "weight": weight}
            for unit in range(units):
                add(unit, level + less, 0.94 + lost, **mine)
                if name == "none":
                    early = {"regulariser": "early_stopping", "epochs": float(5 + unit)}
                    add(unit, level - 0.04, 0.93, **(mine | early))
                else:
                    pair = {"phase": "matched", "versus": name}
                    add(unit, level + less / 2, 0.9, **mine, **pair)
                    add(unit, level, 0.9, **about, **pair)
            rows += _trajectory(rows[0], mine, level + less, 0.94 + lost)
    return rows


def _trajectory(like: Row, about: Row, auc: float, accuracy: float) -> list[Row]:
    found = []
    for epoch in CHECKPOINTS:
        part = 1 - 1 / (1 + epoch / 4)
        values = (0.5 + (auc - 0.5) / 4, 0.5 + (auc - 0.5) * part**3, 0.99, accuracy * part**0.3, 0.8, 0.9)
        row = {**dict.fromkeys(like), "phase": "trajectory", "architecture": "mlp", "epochs": float(epoch)}
        found.append(row | about | dict(zip(MEASURED, values, strict=True)))
    return found


def with_pictures(rows: list[Row], units: tuple[str, ...] = ("u000", "u001", "u002")) -> list[Row]:
    """Rows of `targeted` with pictures of 8x8: the base shows a 0, the target a 7, the poison lies between them."""
    base = np.array([[0, 0, 1, 1, 1, 1, 0, 0]] + [[0, 1, 1, 0, 0, 1, 1, 0]] * 6 + [[0, 0, 1, 1, 1, 1, 0, 0]])
    target = np.array([[0, 1, 1, 1, 1, 1, 1, 0]] + [[0, 0, 0, 0, 1, 1, 0, 0]] * 7)
    found = []
    for row in rows:
        share = 0.3 + 0.01 * float(str(row["budget"]))
        drawn = (base, target, (1 - share) * base + share * target)
        cells = [as_picture(image) if row["unit"] in units else None for image in drawn]
        found.append(row | dict(zip(("base_image", "target_image", "poison_image"), cells, strict=True)))
    return found


def as_picture(image: np.ndarray) -> str:
    """An image in [0, 1] as its cell."""
    return "x" + "".join(f"{round(255 * float(value)):02x}" for value in image.ravel())
