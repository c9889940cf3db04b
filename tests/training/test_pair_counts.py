"""The experiment behind desanctis-11: its rows hold for the losses as they are, and fail where one is off."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from repro.claims.comparisons import Exact
from repro.claims.exactness import failing_rows
from repro.harness.evidence.table import Row, table
from repro.harness.profile import Profile, load_profile
from repro.harness.runs import Fleet
from repro.papers.desanctis.experiments import pair_counts as experiment
from repro.papers.desanctis.experiments.pair_counts import section
from repro.papers.desanctis.experiments.pair_counts import work as pair_counts

ROOT = Path(__file__).resolve().parents[2]
CHECKS = {
    "contrastive_quadratic": 3,
    "margin_cost_of_contrastive": 3,
    "triplet_costs_more": 3,
    "margin_sampled_linear": 3,
    "margin_shift_invariant": 2,
    "contrastive_not_invariant": 1,
}
STATISTIC = Exact(
    kind="exact",
    checks=CHECKS,
    bounds={
        "triplet_costs_more": "at least",
        "margin_sampled_linear": "at most",
        "margin_shift_invariant": "at most",
        "contrastive_not_invariant": "at least",
    },
)


@pytest.fixture(scope="module")
def profile() -> Profile:
    return cast(Profile, SimpleNamespace(seeds=SimpleNamespace(evidence=1000)))


def measured(profile: Profile) -> dict[str, Any]:
    (fleet,) = experiment.EXPERIMENT.phases[0].fleets(profile)
    (record,) = pair_counts.measure_fleet(fleet, None, {}, torch.device("cpu")).records
    assert record["run"] == fleet.runs[0].id
    return record


@pytest.fixture(scope="module")
def record(profile: Profile) -> dict[str, Any]:
    return measured(profile)


def rows_of(profile: Profile, record: dict[str, Any]) -> list[Row]:
    return experiment.EXPERIMENT.rows(profile, {"measure": {"r": record}})


def test_every_row_holds_and_the_judge_agrees(profile: Profile, record: dict[str, Any]) -> None:
    rows = rows_of(profile, record)
    assert all(row["holds"] is True for row in rows)
    assert failing_rows(STATISTIC, rows, "pair_counts") == []
    for check, least in CHECKS.items():
        assert sum(row["check"] == check for row in rows) >= least
    assert len({tuple(row) for row in rows}) == 1


def test_counts_are_the_textbooks(record: dict[str, Any]) -> None:
    """Four classes of two: 28 pairs; an anchor has one positive and six negatives."""
    first = {loss: counts[0] for loss, counts in record["terms"].items()}
    assert first == {"base_contrastive": 28, "margin": 28, "triplet": 48, "margin_sampled": 16}
    last = {loss: counts[-1] for loss, counts in record["terms"].items()}
    assert last == {
        "base_contrastive": 256 * 255 // 2,
        "margin": 256 * 255 // 2,
        "triplet": 256 * 63 * 192,
        "margin_sampled": 512,
    }


def test_points_are_balanced_and_in_another_order_each_time() -> None:
    g = torch.Generator().manual_seed(0)
    one, other = (pair_counts._labels(32, 4, g) for _ in range(2))
    assert torch.equal(one.flatten().bincount(), torch.full((4,), 8))
    assert not torch.equal(one, other)


def test_a_measurement_is_repeatable_and_depends_on_the_seed(
    profile: Profile, record: dict[str, Any]
) -> None:
    assert measured(profile) == record
    run = experiment.CountsRun(1)
    (another,) = pair_counts.measure_fleet(Fleet((run,)), None, {}, torch.device("cpu")).records
    assert another["changes"] != record["changes"]
    assert another["terms"] == record["terms"]


def test_each_change_is_of_one_draw_with_its_own_shift_and_no_sign(record: dict[str, Any]) -> None:
    assert all(change >= 0 for changes in record["changes"].values() for change in changes)
    changes = record["changes"]["base_contrastive"]
    assert len(changes) == len(set(changes)) == experiment.CountsRun.draws


SPOILT: dict[str, Callable[[dict[str, Any]], None]] = {
    "contrastive_quadratic": lambda r: r["terms"]["base_contrastive"].__setitem__(3, 277),
    "margin_cost_of_contrastive": lambda r: r["terms"]["margin"].__setitem__(0, 27),
    "triplet_costs_more": lambda r: r["terms"]["triplet"].__setitem__(0, 49),
    "margin_sampled_linear": lambda r: r["terms"]["margin_sampled"].__setitem__(0, 17),
    "margin_shift_invariant": lambda r: r["changes"]["triplet"].__setitem__(5, 2e-9),
    "contrastive_not_invariant": lambda r: r["changes"]["base_contrastive"].__setitem__(5, 9e-4),
}


@pytest.mark.parametrize("check", SPOILT)
def test_a_figure_that_is_off_fails_its_check(check: str, profile: Profile, record: dict[str, Any]) -> None:
    spoilt = {
        "run": record["run"],
        **{part: {loss: list(v) for loss, v in record[part].items()} for part in ("terms", "changes")},
    }
    SPOILT[check](spoilt)
    failing = {row["check"] for row in rows_of(profile, spoilt) if row["holds"] is not True}
    assert check in failing
    if check != "contrastive_quadratic":
        assert failing == {check}


def test_the_triplets_exact_number_and_lower_bound_are_stated(
    profile: Profile, record: dict[str, Any]
) -> None:
    for row in rows_of(profile, record):
        if row["check"] == "triplet_costs_more":
            n, m = cast(int, row["points"]), cast(int, row["points"]) // experiment.CLASSES
            assert row["bound"] == n * (n - 1) // 2 * (m - 1)
            assert row["published"] == experiment.CLASSES * m * (m - 1) * (n - m)


def test_a_margin_loss_whose_boundary_stays_behind_is_found_out(
    profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = pair_counts.margin_of
    monkeypatch.setattr(pair_counts, "margin_of", lambda d, y, alpha, beta: whole(d, y, alpha, 1.2))
    failing = {row["check"] for row in rows_of(profile, measured(profile)) if row["holds"] is not True}
    assert failing == {"margin_shift_invariant"}


def test_the_report_shows_counts_and_changes(profile: Profile, record: dict[str, Any]) -> None:
    blocks = section.blocks(cast(Any, None), table(rows_of(profile, record)))
    page = "\n".join(blocks)
    assert "| 8 | 28 | 28 | 48 | 16 |" in page
    assert "| 256 | 32,640 | 32,640 | 3,096,576 | 512 |" in page
    assert "| Contrastive quadratic | 11 | 11 |" in page
    assert page.count("| yes |") == len(rows_of(profile, record))


def test_the_evidence_has_no_setting_and_is_alike_for_every_profile() -> None:
    assert experiment.Settings.model_fields == {}
    fleets = [experiment.EXPERIMENT.phases[0].fleets(load_profile(name, ROOT)) for name in ("digits", "tiny")]
    assert [f.runs[0].points for (f,) in fleets] == [experiment.POINTS] * 2
    assert all(n % experiment.CLASSES == 0 and n // experiment.CLASSES >= 2 for n in experiment.POINTS)
