"""The plan and its announcement: what each stage depends on, and the time, memory and disk of what is to be trained."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from repro import plugins, words
from repro.files import write_json, write_text
from repro.harness import announce as announcing
from repro.harness import needs
from repro.harness.announce import announce
from repro.harness.evidence.fingerprint import evidence_path, phase_digest
from repro.harness.evidence.keys import jobs
from repro.harness.evidence.phases import ABOUT, phase_folder
from repro.harness.evidence.store import Store
from repro.harness.plan import costs, fingerprints, write_plan
from repro.harness.profile import DataSettings, Profile, load_profile
from repro.harness.runs import Fleet
from repro.harness.timing import kind_of, timings_path


@pytest.fixture
def profile(profile: Profile, monkeypatch: pytest.MonkeyPatch) -> Profile:
    monkeypatch.setattr(announcing, "cores", lambda: 2)
    return only(profile, "trigger_by_model")


def only(profile: Profile, *names: str, reason: str = "too dear") -> Profile:
    """The profile with some experiments, all others left out."""
    others = {name: reason for name in profile.experiments if name not in names}
    kept = {name: profile.experiments[name] for name in names}
    return profile.model_copy(update={"experiments": kept, "leaves_out": others})


def said(root: Path, profile: Profile) -> dict[str, str]:
    """What is announced, by what stands before the colon."""
    lines = announce(root, profile).splitlines()
    assert all(line.startswith("tiny: ") for line in lines)
    return dict(line.removeprefix("tiny: ").split(": ", 1) for line in lines if ": " in line[6:])


def provenance(root: Path, name: str, **content: Any) -> None:
    write_json(evidence_path(root, "tiny", name).with_suffix(".provenance.json"), content)


def timed(root: Path, profile: Profile, seconds: float, **others: Any) -> None:
    """As if every kind of step had taken so long."""
    kinds = {
        kind_of(profile, fleet)
        for name in profile.experiments
        for phase in plugins.load("experiment", name).EXPERIMENT.phases
        for fleet in phase.fleets(profile)
    }
    timing = {"seconds": seconds, "steps": 7, "device": "cpu"} | others
    write_json(timings_path(root, "tiny"), {"2": dict.fromkeys(kinds, timing)})


@pytest.fixture(autouse=True)
def _two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("repro.harness.timing.cores", lambda: 2)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Mapping[str, int]:
    """What is free, to be changed."""
    free = {"memory": 10**12, "disk": 10**12}
    monkeypatch.setattr(
        announcing.psutil, "virtual_memory", lambda: SimpleNamespace(available=free["memory"])
    )
    monkeypatch.setattr(announcing.shutil, "disk_usage", lambda path: SimpleNamespace(free=free["disk"]))
    return free


def test_every_stage_has_its_file_also_of_what_is_left_out(tmp_path: Path, profile: Profile) -> None:
    write_plan(tmp_path, profile)
    folder = tmp_path / "data" / "plan" / "tiny"
    expected = {"data.json", "claims.json", "report.json"}
    expected |= {f"{name}.json" for name in plugins.names("experiment")}
    assert {path.name for path in folder.iterdir()} == expected
    assert json.loads((folder / "exposure.json").read_text(encoding="utf-8")) == {"left out": "too dear"}
    phases = json.loads((folder / "trigger_by_model.json").read_text(encoding="utf-8"))["phases"]
    assert "code" in phases["retrain"]


def test_another_reason_is_another_plan(tmp_path: Path, profile: Profile) -> None:
    path = tmp_path / "data" / "plan" / "tiny" / "exposure.json"
    write_plan(tmp_path, profile)
    before = path.read_bytes()
    write_plan(tmp_path, only(load_profile("tiny", tmp_path), "trigger_by_model", reason="too slow"))
    assert path.read_bytes() != before


def test_known_fingerprints_give_the_same(tmp_path: Path, profile: Profile) -> None:
    known = fingerprints(profile)
    assert costs(tmp_path, profile, known) == costs(tmp_path, profile)
    write_plan(tmp_path, profile)
    folder = tmp_path / "data" / "plan" / "tiny"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    write_plan(tmp_path, profile, known)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_what_is_left_out_costs_nothing_and_says_why(tmp_path: Path, profile: Profile) -> None:
    assert [cost.experiment for cost in costs(tmp_path, profile)] == ["trigger_by_model"]
    lines = announce(tmp_path, profile).splitlines()
    (line,) = [line for line in lines if "exposure" in line]
    assert line.startswith("tiny: left out: ")
    assert "exposure (too dear)" in line
    whole = load_profile("tiny", tmp_path)
    assert "left out" not in announce(tmp_path, whole)


def test_everything_trained(tmp_path: Path, profile: Profile) -> None:
    fingerprint = fingerprints(profile)["trigger_by_model"]
    for phase in fingerprint["phases"]:
        folder = phase_folder(tmp_path, "tiny", "trigger_by_model", phase)
        write_json(folder / ABOUT, {"fingerprint": phase_digest(fingerprint, phase)})
    lines = announce(tmp_path, profile).splitlines()
    assert lines[0] == "tiny: all 15 models are trained; nothing to train"
    assert [line.split(": ")[1] for line in lines[1:]] == ["left out"]


def test_only_what_is_pending_is_counted(tmp_path: Path, profile: Profile) -> None:
    (whole,) = costs(tmp_path, profile)
    experiment = plugins.load("experiment", "trigger_by_model").EXPERIMENT
    for own in jobs(profile, experiment, experiment.phases[0]):
        for job in own:
            Store(tmp_path).add(job.key, {"record": {}}, b"weights")
    timed(tmp_path, profile, 1.0)
    (part,) = costs(tmp_path, profile)
    assert (whole.models, whole.pending, part.pending) == (15, 15, 6)
    # The models of phase train, the only weights kept, are there; retraining takes 2 epochs of 2 batches for 6 models.
    assert (whole.weights, part.weights) == (9 * 4 * (128 * 65 + 64 * 129 + 10 * 65), 0)
    assert part.estimated == 6 * 2 * 2
    provenance(tmp_path, "trigger_by_model", seconds=100.0, device="cpu")
    assert said(tmp_path, profile)["time"].startswith("about 20 seconds on 2 cores")


@pytest.mark.parametrize("device", ["cpu", "NVIDIA H200"])
def test_time_that_the_evidence_took(tmp_path: Path, profile: Profile, device: str) -> None:
    provenance(tmp_path, "trigger_by_model", seconds=7200.0, device=device)
    timed(tmp_path, profile, 1.0)
    took = "going by the time the evidence took"
    wanted = {
        "cpu": f"about 1 hour on 2 cores, {took}",
        "NVIDIA H200": f"about 2 hours on 2 cores, {took} on NVIDIA H200",
    }
    assert said(tmp_path, profile)["time"] == wanted[device]


@pytest.mark.parametrize("device", ["cpu", "NVIDIA H200"])
def test_time_estimated_from_timed_steps(tmp_path: Path, profile: Profile, device: str) -> None:
    timed(tmp_path, profile, 10.0, device=device)
    # 9 models of 4 epochs of 11 steps, then 6 of 2 epochs of 2.
    seconds = 10 * (9 * 4 * 11 + 6 * 2 * 2)
    assert costs(tmp_path, profile)[0].estimated == seconds
    wall = {"cpu": "35 minutes", "NVIDIA H200": "1 hour and 10 minutes"}[device]
    assert said(tmp_path, profile)["time"] == (
        f"at most about {wall} for trigger_by_model, an estimate from 7 timed steps on {device}, "
        "measuring not counted"
    )


@pytest.mark.parametrize(
    "content", ["{}", '{"3": {"k": {"seconds": 1, "steps": 1, "device": "cpu"}}}', "[", None]
)
def test_nothing_is_known_of_time(tmp_path: Path, profile: Profile, content: str | None) -> None:
    if content is not None:
        write_text(timings_path(tmp_path, "tiny"), content)
    assert said(tmp_path, profile)["time"] == (
        "not counting trigger_by_model: never measured; `repro doctor --time` estimates it"
    )


def test_measuring_takes_seconds(tmp_path: Path, profile: Profile) -> None:
    both = only(load_profile("tiny", tmp_path), "poison_statistics", "membership_metric")
    assert said(tmp_path, both)["time"] == "seconds"


def test_memory_of_all_processes_that_train_at_once(
    tmp_path: Path, profile: Profile, machine: dict[str, int]
) -> None:
    (cost,) = costs(tmp_path, profile)
    phase = plugins.load("experiment", "trigger_by_model").EXPERIMENT.phases[0]
    assert cost.memory == max(
        needs.memory_bytes(profile, phase, Fleet((run,)))
        for fleet in phase.fleets(profile)
        for run in fleet.runs
    )
    together = words.size(2 * cost.memory)
    machine["memory"] = 2 * cost.memory
    line = said(tmp_path, profile)["memory"]
    assert (
        line == f"at least {together} ({words.size(cost.memory)} in each of 2 processes), {together} are free"
    )
    machine["memory"] -= 1
    assert said(tmp_path, profile)["memory"] == f"{line}; WARNING: this does not fit"
    on_gpu = profile.model_copy(update={"device": "cuda"})
    fleets = max(needs.memory_bytes(on_gpu, phase, fleet) for fleet in phase.fleets(on_gpu))
    assert said(tmp_path, on_gpu)["memory"].startswith(f"at least {words.size(fleets)}, ")


def test_disk_of_weights(tmp_path: Path, profile: Profile, machine: dict[str, int]) -> None:
    (cost,) = costs(tmp_path, profile)
    machine["disk"] = cost.weights
    line = said(tmp_path, profile)["disk"]
    weights = words.size(cost.weights)
    assert line == f"about {weights} for weights, {weights} are free"
    machine["disk"] -= 1
    assert said(tmp_path, profile)["disk"] == f"{line}; WARNING: this does not fit"


def test_disk_of_a_dataset_to_fetch(
    tmp_path: Path, profile: Profile, machine: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    on_mnist = profile.model_copy(update={"data": DataSettings(name="mnist", limit=600)})
    assert ", and 55 MB for the dataset, " in said(tmp_path, on_mnist)["disk"]
    machine["disk"] = 50_000_000
    assert said(tmp_path, on_mnist)["disk"].endswith("WARNING: this does not fit")
    monkeypatch.setattr(plugins.load("dataset", "mnist"), "prepare", None, raising=False)
    # 70,000 images of 28x28 bytes.
    assert ", and 110 MB for the dataset, " in said(tmp_path, on_mnist)["disk"]


def test_weights_of_unknown_size(tmp_path: Path, profile: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(needs, "parameters", lambda *_: None)
    assert said(tmp_path, profile)["disk"].startswith(
        "about 0 Bytes for weights, not counting mlp: size unknown, "
    )
