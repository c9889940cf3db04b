"""Detection's grid: every model of a unit is searched, by its trained fleet, and what its rows say of records."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from repro.data import load_dataset
from repro.data.partition import partition
from repro.errors import ReproError
from repro.harness import needs
from repro.harness.evidence.table import Row, read_table, table, write_table
from repro.harness.profile import Profile, load_profile
from repro.harness.runs import Fleet
from repro.papers.backdoors.poisoning import Pool
from repro.papers.desanctis.experiments import detection as experiment
from repro.papers.desanctis.experiments.detection.runs import DetectionRun

UNITS = 5
SETTINGS = experiment.Settings(
    units=UNITS,
    architectures=["mlp"],
    trigger="square",
    steps=40,
    batch_size=16,
    pruned_units=7,
    unlearning_epochs=3,
    filter_units=6,
    filter_rate=0.05,
)


class Sized(Profile):
    """Profile ``tiny`` with the settings given here."""

    sized: Any = SETTINGS

    def settings(self, experiment: str) -> Any:
        return self.sized if experiment == "detection" else super().settings(experiment)


def sized(**changes: Any) -> Sized:
    own = load_profile("tiny", Path(__file__).resolve().parents[1]).model_dump()
    return Sized(**own, sized=SETTINGS.model_copy(update=changes))


@pytest.fixture(scope="module")
def profile() -> Sized:
    return sized()


def runs_of(profile: Profile) -> list[DetectionRun]:
    return [run for fleet in experiment._detect(profile) for run in fleet.runs]


def record(poisoned: bool, **changes: Any) -> dict[str, Any]:
    """Class 8 is named by both tests; margins grow with the class, but 7 and 8 are nearest to each other."""
    found: dict[str, Any] = {
        "raw": {"score": 2.5, "backdoored": True, "class": 8},
        "corrected": {"score": float("inf"), "backdoored": True, "class": 8},
        "mask_overlap": 0.25 if poisoned else None,
        "pictures": ["x00", "x01", "x02"],
        "sizes": [10.0 - c for c in range(10)],
        "margins": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 8.0, 10.0],
        "nearest": [1, 0, 1, 2, 3, 4, 5, 8, 7, 8],
    }
    if poisoned:
        found |= {name: 0.01 * i for i, name in enumerate(experiment.MITIGATED)}
    return found | changes


def rows_of(profile: Profile, changes: dict[int, dict[str, Any]] | None = None) -> list[Row]:
    """Rows of made-up records, those of some runs (by place) changed."""
    runs = runs_of(profile)
    trained = {r.trained.id: {"clean_accuracy": 0.9, "attacks": [{"asr": 0.75}]} for r in runs}
    found = {r.id: record(r.backdoor is not None, **(changes or {}).get(i, {})) for i, r in enumerate(runs)}
    return experiment._rows(profile, {"train": trained, "detect": found})


def test_every_unit_has_a_poisoned_and_a_clean_model_of_one_backdoor(profile: Sized) -> None:
    runs = runs_of(profile)
    poisoned = [run for run in runs if run.backdoor]
    clean = [run for run in runs if not run.backdoor]
    assert len(poisoned) == len(clean) == UNITS
    for one, other in zip(poisoned, clean, strict=True):
        assert one.attack == other.attack == other.trained.probes[0]
        assert replace(one.trained, backdoor=None, probes=(one.attack,)) == other.trained
        assert one.attack == profile.backdoor(one.attack.poison_class, "square")
        assert one.recipe == replace(profile.retraining_recipe("mlp"), epochs=3)
        assert (one.steps, one.batch_size, one.pruned_units) == (40, 16, 7)
        assert (one.filter_units, one.filter_rate) == (6, 0.05)
    assert [run.trained.unit for run in clean] == [f"u{i:03d}" for i in range(UNITS)]
    assert len({run.id for run in runs}) == 2 * UNITS


def test_fleets_are_those_that_were_trained_poisoned_apart_from_clean(profile: Sized) -> None:
    found = experiment._detect(profile)
    assert [experiment._trained(profile, fleet) for fleet in found] == experiment._train(profile)
    assert [len(fleet.runs) for fleet in found] == [4, 1, 4, 1]
    for fleet in found:
        assert len({run.backdoor is None for run in fleet.runs}) == 1


def test_pieces_and_data_are_the_models(profile: Sized) -> None:
    for run in runs_of(profile):
        assert run.data == profile.dataset()
        wanted = {("dataset", "digits"), ("architecture", "mlp"), ("engine", "stacked")}
        assert run.pieces() == wanted | {("trigger", "square"), ("defence", "none")}
        assert Fleet((run,)).data == run.data


def test_needs_count_the_search_and_both_retrainings(profile: Sized) -> None:
    poisoned, clean = runs_of(profile)[0], runs_of(profile)[-1]
    searched = 10 * 40 * 16
    assert needs.most_steps(clean, 600) == pytest.approx(searched / 32, abs=3)
    own = len(partition(600, 1).clean_train)
    assert needs.epoch_images(poisoned, 600) - needs.epoch_images(clean, 600) == 2 * own
    dataset = load_dataset("digits", Path(), 600, {})
    for run in (poisoned, clean):
        pool = Pool(dataset)
        pool.view(run.trained)
        assert needs.triggered(run, 600, 10) == pytest.approx(pool.size - 600, abs=10)


def test_a_row_says_what_its_record_says(profile: Sized) -> None:
    rows = rows_of(profile)
    run = runs_of(profile)[2]
    described = {
        "run": run.id,
        "phase": "detected",
        "unit": "u002",
        "partition_seed": run.trained.partition_seed,
        "seed": run.trained.seed,
        "poison_class": 2,
        "architecture": "mlp",
        "model": "poisoned",
        "trigger": "square",
        "alpha": 1.0,
        "poison_rate": 0.1,
        "clean_accuracy": 0.9,
        "asr": 0.75,
        "raw_score": 2.5,
        "corrected_score": float("inf"),
        "raw_flagged_rate": 1.0,
        "corrected_flagged_rate": 1.0,
        "raw_found_rate": 0.0,
        "corrected_found_rate": 0.0,
        "named_class": 8,
        "named_margin_rank": 7.5,
        "small_margin_named_rate": 0.0,
        "mask_overlap": 0.25,
        "class": 2,
        "mask_size": 8.0,
        "margin": 3.0,
        "nearest_class": 1,
    }
    mitigated = {name: 0.01 * i for i, name in enumerate(experiment.MITIGATED)}
    pictures = {"trigger_image": "x00", "mask_image": "x01", "pattern_image": "x02"}
    assert rows[2] == described | mitigated | pictures


def test_clean_models_have_no_finding_no_overlap_and_no_mitigation(profile: Sized) -> None:
    empty = {"raw_found_rate", "corrected_found_rate", "mask_overlap", *experiment.MITIGATED}
    for row in rows_of(profile)[UNITS : 2 * UNITS]:
        assert row["model"] == "clean"
        assert row["poison_rate"] == 0.0
        assert {name for name, value in row.items() if value is None} == empty | set(experiment.PICTURES)


@pytest.mark.parametrize(
    ("verdict", "flagged", "found"),
    [
        ({"score": 3.0, "backdoored": True, "class": 0}, 1.0, 1.0),
        ({"score": 1.0, "backdoored": False, "class": 0}, 0.0, 0.0),
        ({"score": 3.0, "backdoored": True, "class": 1}, 1.0, 0.0),
    ],
)
@pytest.mark.parametrize("test", ["raw", "corrected"])
def test_found_is_flagged_for_the_poison_class(
    profile: Sized, test: str, verdict: dict[str, Any], flagged: float, found: float
) -> None:
    row = rows_of(profile, {0: {test: verdict}})[0]
    assert (row[f"{test}_flagged_rate"], row[f"{test}_found_rate"]) == (flagged, found)
    other = "corrected" if test == "raw" else "raw"
    assert (row[f"{other}_flagged_rate"], row[f"{other}_found_rate"]) == (1.0, 0.0)


def test_pictures_are_of_the_first_poisoned_units(profile: Sized) -> None:
    shown = [i for i, row in enumerate(rows_of(profile)) if row["mask_image"]]
    assert shown == [0, 1, 2]


def test_rows_by_class_are_means_over_clean_models(profile: Sized) -> None:
    quiet = {"raw": {"score": 1.0, "backdoored": False, "class": 8}}
    sizes = {"sizes": [20.0] * 10, "margins": [6.0] * 10, "nearest": [9] * 10}
    rows = rows_of(profile, {0: sizes, UNITS: quiet, UNITS + 1: sizes})
    by_class = rows[2 * UNITS :]
    assert [row["class"] for row in by_class] == list(range(10))
    row = by_class[8]
    filled = {name: value for name, value in row.items() if value is not None}
    assert filled.pop("mask_size") == pytest.approx((4 * 2.0 + 20.0) / UNITS)
    assert filled.pop("margin") == pytest.approx((4 * 8.0 + 6.0) / UNITS)
    assert filled == {
        "phase": "classes",
        "architecture": "mlp",
        "model": "clean",
        "class": 8,
        "nearest_class": 7,
        "raw_flagged_rate": 0.8,
        "corrected_flagged_rate": 1.0,
    }
    assert by_class[7]["raw_flagged_rate"] == by_class[7]["corrected_flagged_rate"] == 0.0


def test_rows_read_back_from_a_table(profile: Sized, tmp_path: Path) -> None:
    made = table(rows_of(profile))
    write_table(tmp_path / "detection.csv", made)
    assert read_table(tmp_path / "detection.csv") == made


def test_ranks_of_margins_share_ties() -> None:
    assert [experiment.midrank([3.0, 1.0, 3.0, 2.0], c) for c in range(4)] == [2.5, 0.0, 2.5, 1.0]


@pytest.mark.parametrize("classes", [2, 3, 9, 10])
def test_half_of_all_ranks_are_in_the_smaller_half(classes: int) -> None:
    halves = [experiment.smaller_half(float(rank), classes) for rank in range(classes)]
    assert sum(halves) == classes / 2
    assert halves[0] == 1.0
    assert halves == sorted(halves, reverse=True)
    assert experiment.smaller_half((classes - 1) / 2, classes) == 0.5


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("cnn", "'cnn' is not one of the profile's mlp"),
        ("resnet50", "'resnet50' is not trained in stacks, which detection works on"),
    ],
)
def test_architectures_that_cannot_be_searched(name: str, reason: str) -> None:
    profile = sized(architectures=[name])
    if name == "resnet50":
        profile = profile.model_copy(update={"architectures": ["mlp", name]})
    with pytest.raises(ReproError) as error:
        experiment._train(profile)
    assert str(error.value) == f"profile tiny: experiments.detection.architectures: {reason}"
