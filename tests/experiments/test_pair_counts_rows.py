"""Rows of `pair_counts` from a record in which every loss, number of points and draw has a count of its own."""

from typing import Any

from figures import assert_same, figure, rows_of, whole

from repro.harness.profile import Profile

POINTS = (8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
LOSSES = ("base_contrastive", "margin", "triplet", "margin_sampled")


def row(check: str, loss: str, points: int, computed: float, holds: bool, **about: Any) -> dict[str, Any]:
    """``published`` has to be met exactly, ``bound`` is at least or at most."""
    return {
        "check": check,
        "loss": loss,
        "points": points,
        "computed": computed,
        "published": about.get("published"),
        "bound": about.get("bound"),
        "tolerance": 0 if "published" in about else None,
        "holds": holds,
    }


def test_counts_stand_by_points_and_changes_at_their_extreme(profile: Profile) -> None:
    counts = {loss: [whole(loss, n) for n in POINTS] for loss in LOSSES}
    changes = {loss: [figure(loss, draw) for draw in range(200)] for loss in LOSSES}
    record = {"run": "r", "terms": counts, "changes": changes}
    expected = []
    for place, n in enumerate(POINTS):
        contrastive, margin, triplet, sampled = (counts[loss][place] for loss in LOSSES)
        triplets, bound = n * (n // 4 - 1) * (n - n // 4), margin * (n // 4 - 1)
        about = {"published": triplets, "bound": bound}
        expected += [
            row("contrastive_quadratic", LOSSES[0], n, contrastive, False, published=n * (n - 1) // 2),
            row("margin_cost_of_contrastive", LOSSES[1], n, margin, False, published=contrastive),
            row("triplet_costs_more", LOSSES[2], n, triplet, False, **about),
            row("margin_sampled_linear", LOSSES[3], n, sampled, False, bound=2 * n),
        ]
    for loss in ("margin", "triplet"):
        expected.append(row("margin_shift_invariant", loss, 32, max(changes[loss]), False, bound=1e-9))
    least = min(changes["base_contrastive"])
    holds = least >= 1e-3
    expected.append(row("contrastive_not_invariant", "base_contrastive", 32, least, holds, bound=1e-3))
    assert_same(rows_of(profile, "pair_counts", {"measure": {"r": record}}), expected)
