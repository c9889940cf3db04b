"""How many terms losses over pairs have, and which losses depend on absolute distances (desanctis 3.1)."""

from dataclasses import dataclass

from repro.harness.evidence.table import Row
from repro.harness.experiment import Experiment, Phase, Records
from repro.harness.profile import Profile, Strict
from repro.harness.runs import Data, Description, Fleet

CLASSES = 4
POINTS = (8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
LOSSES = ("base_contrastive", "margin", "triplet", "margin_sampled")
ROUNDING = 1e-9
CHANGED = 1e-3


class Settings(Strict):
    """Nothing to set: the counts are the same for every profile."""


@dataclass(frozen=True)
class CountsRun(Description):
    """Summands of each loss at growing numbers of points, and changes under a shift of all distances.

    ``alpha`` is the margin of the margin and triplet losses, ``constant`` the base contrastive loss's.
    """

    seed: int
    classes: int = CLASSES
    points: tuple[int, ...] = POINTS
    losses: tuple[str, ...] = LOSSES
    shifted_points: int = 32
    draws: int = 200
    alpha: float = 0.2
    constant: float = 1.0
    data: Data | None = None


def _fleets(profile: Profile) -> list[Fleet]:
    return [Fleet((CountsRun(profile.seeds.evidence),))]


def _row(
    check: str,
    loss: str,
    points: int,
    computed: float,
    *,
    published: float | None = None,
    at_least: float | None = None,
    at_most: float | None = None,
) -> Row:
    holds = (
        (published is None or computed == published)
        and (at_least is None or computed >= at_least)
        and (at_most is None or computed <= at_most)
    )
    return {
        "check": check,
        "loss": loss,
        "points": points,
        "computed": computed,
        "published": published,
        "bound": at_least if at_most is None else at_most,
        "tolerance": None if published is None else 0,
        "holds": holds,
    }


def _rows(profile: Profile, records: Records) -> list[Row]:
    """Counts of n points, m of each class, and the largest or smallest change under a shift.

    All n (n - 1) / 2 pairs, positive or negative, are in the base contrastive loss and in the margin loss. There are n
    (m - 1) (n - m) triplets: with two classes or more n >= 2 m, so at least m - 1 for each pair. With sampling, the
    margin loss has two pairs per point.
    """
    (record,) = records["measure"].values()
    counted = {loss: dict(zip(POINTS, counts, strict=True)) for loss, counts in record["terms"].items()}
    rows = []
    for n in POINTS:
        m = n // CLASSES
        contrastive, margin = counted["base_contrastive"][n], counted["margin"][n]
        triplets, sampled = counted["triplet"][n], counted["margin_sampled"][n]
        rows += [
            _row("contrastive_quadratic", "base_contrastive", n, contrastive, published=n * (n - 1) // 2),
            _row("margin_cost_of_contrastive", "margin", n, margin, published=contrastive),
            _row(
                "triplet_costs_more",
                "triplet",
                n,
                triplets,
                published=n * (m - 1) * (n - m),
                at_least=margin * (m - 1),
            ),
            _row("margin_sampled_linear", "margin_sampled", n, sampled, at_most=2 * n),
        ]
    changes: dict[str, list[float]] = record["changes"]
    n = CountsRun.shifted_points
    for loss in ("margin", "triplet"):
        rows.append(_row("margin_shift_invariant", loss, n, max(changes[loss]), at_most=ROUNDING))
    least = min(changes["base_contrastive"])
    rows.append(_row("contrastive_not_invariant", "base_contrastive", n, least, at_least=CHANGED))
    return rows


COLUMNS = {
    "loss": "the loss whose terms are counted",
    "points": "how many points, in equal classes",
}
"""What columns hold that no other experiment has."""

EXPERIMENT = Experiment(
    paper="desanctis",
    reproduces="the costs that section 3.1 compares",
    phases=(Phase("measure", "repro.papers.desanctis.experiments.pair_counts.work:measure_fleet", _fleets),),
    rows=_rows,
)
