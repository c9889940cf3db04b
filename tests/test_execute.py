"""Runs stand alone: each is trained once, comes out the same whatever is trained beside it, and is made when needed."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from repro import plugins
from repro.errors import ReproError
from repro.harness import execute, workers
from repro.harness.evidence.keys import jobs
from repro.harness.evidence.phases import read_phase
from repro.harness.evidence.store import Store
from repro.harness.execute import run_phases
from repro.harness.experiment import Experiment
from repro.harness.profile import Profile
from repro.harness.runs import Fleet, Run
from repro.harness.task import Task, train_task


@pytest.fixture(autouse=True)
def _one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "cores", lambda: 1)


def trained(root: Path, profile: Profile, experiment: str, only: str | None = None) -> list[str]:
    """What is said of training and of what is cached."""
    said: list[str] = []
    run_phases(root, profile, experiment, only, said.append)
    return [line for line in said if " cached" in line or " to train" in line]


def changed(profile: Profile, experiment: str, **settings: object) -> Profile:
    others = profile.experiments | {experiment: profile.experiments[experiment] | settings}
    return profile.model_copy(update={"experiments": others})


def contents(root: Path) -> dict[str, tuple[object, bytes]]:
    """By key, an entry's record and the bytes of its weights."""
    store = Store(root)
    found = {}
    for key in store.finished():
        entry, weights = store.entry(key), store.weights(key)
        assert entry
        found[key] = entry["record"], weights.read_bytes() if weights.exists() else b""
    return found


@pytest.fixture(scope="module")
def experiment() -> Experiment:
    found: Experiment = plugins.load("experiment", "trigger_by_model").EXPERIMENT
    return found


def task_of(root: Path, own: list[execute.Job]) -> Task:
    phase = own[0].phase
    runs, keys = tuple(job.run for job in own), tuple(job.key for job in own)
    parents = tuple(job.parent.key for job in own if job.parent)
    return Task(root, phase.work, "cpu", True, runs, keys, parents)


def orders(listed: list[execute.Job]) -> Iterator[tuple[str, list[list[execute.Job]]]]:
    yield "alone", [[job] for job in listed]
    yield "together", [listed]
    yield "backwards", [listed[::-1]]


def test_a_run_comes_out_the_same_alone_beside_others_and_in_any_order(
    tmp_path: Path, profile: Profile, experiment: Experiment
) -> None:
    found = {}
    for phase in experiment.phases:
        listed = [job for own in jobs(profile, experiment, phase) for job in own]
        for name, tasks in orders(listed):
            for own in tasks:
                train_task(task_of(tmp_path / name, own))
            found[name] = contents(tmp_path / name)
    assert len(found["alone"]) == 15
    assert all(weights for _, weights in found["alone"].values())
    assert found["together"] == found["alone"] == found["backwards"]


def test_a_run_of_two_experiments_is_trained_once(tmp_path: Path, profile: Profile) -> None:
    trained(tmp_path, profile, "sources")
    said = trained(tmp_path, profile, "regularisers")
    assert said == [
        "regularisers train: 6 of 21 models are cached",
        "regularisers train: 15 models to train",
    ]


def test_one_more_unit_trains_one_more_unit(tmp_path: Path, profile: Profile) -> None:
    assert trained(tmp_path, profile, "sources") == ["sources train: 9 models to train"]
    more = changed(profile, "sources", units=4)
    assert trained(tmp_path, more, "sources") == [
        "sources train: 9 of 12 models are cached",
        "sources train: 3 models to train",
    ]


def test_the_size_of_a_fleet_trains_nothing(tmp_path: Path, profile: Profile) -> None:
    trained(tmp_path, profile, "trigger_by_model")
    other = profile.model_copy(update={"fleet": 2})
    said = trained(tmp_path, other, "trigger_by_model")
    assert not [line for line in said if "to train" in line]
    assert len(said) == 2


def test_what_is_continued_from_is_made_first_where_it_is_missing(tmp_path: Path, profile: Profile) -> None:
    assert (
        trained(tmp_path, profile, "trigger_by_model", "retrain")
        == [
            "trigger_by_model retrain: 6 models to train",
            "trigger_by_model train: 6 models to train",
        ][::-1]
    )
    _, about = read_phase(tmp_path, "tiny", "trigger_by_model", "retrain")
    assert about["device"] == "cpu"
    for path in (tmp_path / ".repro/store").glob("??/*.safetensors"):
        path.unlink()
    assert trained(tmp_path, profile, "trigger_by_model", "retrain") == [
        "trigger_by_model retrain: 6 of 6 models are cached"
    ]


def test_a_torn_entry_is_trained_anew(tmp_path: Path, profile: Profile) -> None:
    trained(tmp_path, profile, "sources")
    before = contents(tmp_path)
    torn = sorted((tmp_path / ".repro/store").glob("??/*.json"))
    torn[0].write_bytes(b"\0" * 100)
    torn[1].write_bytes(torn[1].read_bytes()[:-7])
    assert trained(tmp_path, profile, "sources") == [
        "sources train: 7 of 9 models are cached",
        "sources train: 2 models to train",
    ]
    assert contents(tmp_path) == before


def test_weights_that_another_experiment_did_not_keep_are_made(tmp_path: Path, profile: Profile) -> None:
    """Phase train of `trigger_by_model` keeps them."""
    trained(tmp_path, profile, "trigger_by_model", "train")
    before = contents(tmp_path)
    shutil.rmtree(tmp_path / "data")
    for path in (tmp_path / ".repro/store").glob("??/*.safetensors"):
        path.unlink()
    trained(tmp_path, profile, "trigger_by_model", "train")
    assert contents(tmp_path) == before


def test_a_piece_that_is_loaded_but_not_declared_is_one_line(
    tmp_path: Path, profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces = Run.pieces
    monkeypatch.setattr(Run, "pieces", lambda run: {p for p in pieces(run) if p[0] != "trigger"})
    monkeypatch.setattr(Fleet, "pieces", lambda fleet: set().union(*(run.pieces() for run in fleet.runs)))
    with pytest.raises(
        ReproError, match=r"^run r\w{15} loads trigger '\w+', which its pieces\(\) does not name"
    ):
        run_phases(tmp_path, profile, "sources", None, lambda line: None)
    assert not contents(tmp_path)
