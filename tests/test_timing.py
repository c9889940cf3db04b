"""Training steps are timed when asked, kept by machine, and looked up without training anything."""

import json
from pathlib import Path

import pytest

from repro import plugins
from repro.files import write_json, write_text
from repro.harness import timing
from repro.harness.needs import most_steps
from repro.harness.profile import Profile
from repro.harness.runs import Fleet
from repro.harness.timing import at_most, kind_of, read_timings, time_steps, timings_path


@pytest.fixture
def profile(profile: Profile, monkeypatch: pytest.MonkeyPatch) -> Profile:
    monkeypatch.setattr(timing, "_LEAST_SECONDS", 0.01)
    return profile


def fleets(profile: Profile, experiment: str, phase: int = 0) -> list[Fleet]:
    found: list[Fleet] = plugins.load("experiment", experiment).EXPERIMENT.phases[phase].fleets(profile)
    return found


def test_every_kind_of_step_is_timed_and_kept(tmp_path: Path, profile: Profile) -> None:
    said: list[str] = []
    count = time_steps(tmp_path, profile, said.append)
    kept = read_timings(tmp_path, "tiny")
    # Without a defence, with every defence that is tried, and the architectures of an ablation.
    assert count == len(kept) == len(said)
    defences = ("none", "logit_squeezing", "snnl", "margin", "margin_sampled", "crl", "dp_sgd")
    assert {(t["architecture"], t["defence"]) for t in kept.values()} == {
        *(("mlp", defence) for defence in defences),
        ("cnn_small", "none"),
    }
    assert all(0 < t["seconds"] < 1 and t["steps"] >= 1 for t in kept.values())
    assert said[0].startswith("mlp, none, batches of 32: ")
    for experiment in ("tuning", "trigger_by_model", "regularisers", "exposure"):
        known = at_most(profile, fleets(profile, experiment), kept)
        assert known is not None
        assert known[0] > 0


def test_steps_are_really_taken(tmp_path: Path, profile: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = plugins.load("engine", "stacked")
    train, seen = engine.train, []

    def counted(models, pool, training, validation, recipe, seeds, regularisation):  # type: ignore[no-untyped-def]
        seen.append((models.members, training.indices.shape[1], validation.indices.shape[1], recipe))
        return train(models, pool, training, validation, recipe, seeds, regularisation)

    monkeypatch.setattr(engine, "train", counted)
    time_steps(tmp_path, profile, lambda line: None)
    assert {members for members, *_ in seen} == {1}
    assert all(training % 32 == 0 and validation == training // 4 for _, training, validation, _ in seen)
    assert {(recipe.batch_size, recipe.epochs, recipe.patience) for *_, recipe in seen} == {(32, 1, 1)}


def test_threads_are_given_back(tmp_path: Path, profile: Profile) -> None:
    import torch

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        time_steps(tmp_path, profile, lambda line: None)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_time_is_models_by_epochs_by_steps(profile: Profile) -> None:
    listed = fleets(profile, "trigger_by_model")
    kind = kind_of(profile, listed[0])
    timings = {kind: {"seconds": 0.5, "steps": 3, "device": "cpu"}}
    steps = sum(most_steps(run, 600) for fleet in listed for run in fleet.runs)
    assert steps == 9 * 4 * (365 // 32)
    assert at_most(profile, listed, timings) == (0.5 * steps, {kind})


def test_a_kind_that_was_not_timed_is_unknown(profile: Profile) -> None:
    plain = kind_of(profile, fleets(profile, "trigger_by_model")[0])
    assert at_most(profile, fleets(profile, "regularisers"), {plain: {"seconds": 1.0}}) is None
    assert at_most(profile, [], {}) == (0.0, set())


@pytest.mark.parametrize(
    "change", [{"fleet": 5}, {"training": {"batch_size": 16}}, {"training": {"learning_rate": {"mlp": 0.5}}}]
)
def test_what_decides_a_steps_time_decides_its_kind(profile: Profile, change: dict[str, object]) -> None:
    content = profile.model_dump()
    for field, value in change.items():
        content[field] = content[field] | value if isinstance(value, dict) else value
    other = Profile.model_validate(content)
    same = kind_of(other, fleets(other, "sources")[0]) == kind_of(profile, fleets(profile, "sources")[0])
    assert same == ("learning_rate" in str(change))


def test_times_of_other_machines_are_kept_and_not_used(tmp_path: Path, profile: Profile) -> None:
    path = timings_path(tmp_path, "tiny")
    elsewhere = {"k": {"seconds": 1.0, "steps": 1, "device": "cpu"}}
    write_json(path, {"4096": elsewhere})
    assert read_timings(tmp_path, "tiny") == {}
    time_steps(tmp_path, profile, lambda line: None)
    assert json.loads(path.read_text(encoding="utf-8"))["4096"] == elsewhere
    assert "k" not in read_timings(tmp_path, "tiny")


@pytest.mark.parametrize(
    "content", ["", "[]", '{"CORES": {"k": {}}}', '{"CORES": []}', '{"CORES": {"k": 3}}']
)
def test_broken_timings_are_none(tmp_path: Path, content: str) -> None:
    write_text(timings_path(tmp_path, "tiny"), content.replace("CORES", str(timing.cores())))
    assert read_timings(tmp_path, "tiny") == {}
