"""A run's key stands for everything on which its outcome depends, and for nothing else."""

from pathlib import Path

import pytest

from repro.harness.evidence import equivalence, fingerprint, keys
from repro.harness.evidence.keys import Job, jobs
from repro.harness.experiment import Experiment
from repro.harness.profile import DataSettings, Profile
from repro.papers.desanctis.experiments import exposure
from repro.papers.truong2020.experiments import trigger_by_model
from repro.papers.truong2020.experiments.tuning import EXPERIMENT


def listed(profile: Profile, experiment: Experiment = EXPERIMENT, phase: int = 0) -> list[Job]:
    return [job for own in jobs(profile, experiment, experiment.phases[phase]) for job in own]


def test_every_run_has_its_own_key_the_same_each_time(profile: Profile) -> None:
    found = [job.key for job in listed(profile)]
    assert len(set(found)) == len(found) == len({job.run.id for job in listed(profile)})
    assert [job.key for job in listed(profile.model_copy())] == found


def test_what_decides_an_outcome_decides_the_key(profile: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    def key(of: Profile = profile) -> str:
        keys._shared.clear()
        keys._code.cache_clear()
        return listed(of)[0].key

    same = key()
    found = {
        same,
        key(profile.model_copy(update={"device": "cuda"})),
        key(profile.model_copy(update={"data": DataSettings(name="digits", limit=500)})),
    }
    monkeypatch.setattr(keys, "packages", lambda: {"torch": "1.0.0"})
    found.add(key())
    monkeypatch.setattr(keys, "packages", lambda: {"torch": "1.0.0", "numba": "1.0.0"})
    found.add(key())
    monkeypatch.undo()
    monkeypatch.setattr(keys, "code", lambda *_: {"another": "hash"})
    found.add(key())
    monkeypatch.undo()
    monkeypatch.setattr(keys, "code_root", lambda digest: "of an equivalent")
    found.add(key())
    assert len(found) == 7
    monkeypatch.undo()
    assert key(profile.model_copy(update={"fleet": 1})) == same == key()


def test_only_the_pieces_that_a_run_names_decide_its_key(
    profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A defence's code is in the keys of the runs that are defended by it."""
    before = [job.key for job in listed(profile)]
    code = fingerprint.code

    def edited(work: str, pieces: keys.Pieces, kinds: frozenset[type]) -> dict[str, str]:
        changed = {"edit": "1"} if ("defence", "snnl") in pieces else {}
        return code(work, pieces, kinds) | changed

    monkeypatch.setattr(keys, "code", edited)
    keys._code.cache_clear()
    after = [job.key for job in listed(profile)]
    keys._code.cache_clear()
    differ = {job.run.defence.name for job, key in zip(listed(profile), before, strict=True)}
    assert "snnl" in differ
    for job, old, new in zip(listed(profile), before, after, strict=True):
        assert (old != new) == (job.run.defence.name == "snnl")


def test_local_version_labels_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    def label(text: str) -> dict[str, str]:
        fingerprint._version.cache_clear()
        monkeypatch.setattr(fingerprint, "version", lambda name: text)
        return fingerprint.packages()

    assert label("1.0.0+cpu") == label("1.0.0") != label("1.0.1")
    monkeypatch.undo()
    fingerprint._version.cache_clear()


def test_a_child_is_keyed_by_what_it_continues_from(profile: Profile) -> None:
    """A victim's description does not say how long the encoder was trained that it starts from."""
    settings = profile.experiments["exposure"] | {"encoder_epochs": 7}
    other = profile.model_copy(update={"experiments": profile.experiments | {"exposure": settings}})
    one, two = (listed(p, exposure.EXPERIMENT, 1)[-1] for p in (profile, other))
    assert one.run.id == two.run.id
    assert one.key != two.key
    trained = {job.key for job in listed(profile, exposure.EXPERIMENT)}
    for job in listed(profile, exposure.EXPERIMENT, 1):
        assert job.parent
        assert job.parent.key in trained
        assert job.parent.run.unit == job.run.unit


def test_retraining_continues_from_the_run_without_it(profile: Profile) -> None:
    trained = {job.key for job in listed(profile, trigger_by_model.EXPERIMENT)}
    for job in listed(profile, trigger_by_model.EXPERIMENT, 1):
        assert job.parent
        assert job.parent.key in trained
        assert job.parent.run.backdoor == job.run.backdoor


def test_nothing_is_equivalent_yet_but_the_same(tmp_path: Path) -> None:
    assert equivalence.resolved(tmp_path, "tiny", "tuning", {"schema": 2}) == {"schema": 2}
    assert equivalence.code_root("ab") == "ab"
