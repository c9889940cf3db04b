"""`repro doctor`: what is there, what is missing, what is stale, and what it costs."""

import shutil
from pathlib import Path

import pytest

from repro.data.datasets import Download, mnist
from repro.files import checksum, write_json, write_text
from repro.harness import doctor, plan
from repro.harness.doctor import diagnosis, lock_file, packages
from repro.harness.evidence.fingerprint import evidence_fingerprint, evidence_path
from repro.harness.evidence.store import Store
from repro.harness.profile import DataSettings, Profile

LOCK = """schema: '2.0'
stages:
  plan@digits:
    cmd: repro plan
    outs:
    - path: data/plan/digits
      hash: md5
      md5: 0123456789abcdef0123456789abcdef.dir
      size: 4242
      nfiles: 3
"""


def facts(root: Path, profile: Profile) -> dict[str, list[str]]:
    """What is said of each name; some names stand in two sections."""
    found: dict[str, list[str]] = {}
    for line in diagnosis(root, profile).splitlines():
        if line.startswith("  "):
            name, _, fact = line[2:].partition("  ")
            found.setdefault(name.strip(), []).append(fact.strip())
    return found


def test_bare_project(tmp_path: Path, profile: Profile) -> None:
    said = facts(tmp_path, profile)
    assert said["packages"] == ["constraints.txt is not here to compare with"]
    assert said["dataset"] == ["digits: ships inside an installed package"]
    assert said["store"] == ["empty"]
    assert said["dvc.lock"] == ["not there; `dvc repro` makes it"]
    assert "claims/expected/tiny.yaml is missing: `pytest claims/` does not judge" in said["gate"][0]
    assert "never measured" in said["tuning"][0]
    assert said["tuning"][1] == "reports/tiny/evidence/tuning.csv: missing; `dvc repro` makes it"
    assert "not counting " in said["time to train"][0]
    assert all(name in said for name in profile.experiments)
    for name in ("Python", "cores", "memory", "disk", "GPU", "memory to train", "disk to train"):
        assert said[name][0]


def test_project_with_evidence(tmp_path: Path, profile: Profile) -> None:
    path = evidence_path(tmp_path, "tiny", "tuning")
    write_text(path, "run\nra\n")
    fingerprint = evidence_fingerprint(profile, "tuning")
    write_json(path.with_suffix(".fingerprint.json"), fingerprint | {"table": checksum(path)})
    write_json(path.with_suffix(".provenance.json"), {"seconds": 3725.0, "device": "cpu"})
    write_text(tmp_path / "claims" / "expected" / "tiny.yaml", "{}\n")
    write_text(tmp_path / "dvc.lock", LOCK)
    Store(tmp_path).add("key", {"record": {}}, b"x" * 2_500_000)
    said = facts(tmp_path, profile)
    assert said["tuning"][1] == "current"
    assert "1 hour and 2 minutes of one core when last made" in said["tuning"][0]
    assert "not counting" in said["time to train"][0]
    assert "tuning" not in said["time to train"][0]
    assert said["store"] == ["1 finished models, 2.5 MB, in .repro/store"]
    assert said["dvc.lock"] == ["whole"]
    assert said["gate"] == ["claims/expected/tiny.yaml is there"]


def test_stale_evidence_says_why(tmp_path: Path, profile: Profile) -> None:
    path = evidence_path(tmp_path, "tiny", "tuning")
    write_text(path, "run\nra\n")
    fingerprint = evidence_fingerprint(profile, "tuning")
    write_json(path.with_suffix(".fingerprint.json"), fingerprint | {"table": checksum(path), "rows": {}})
    assert "tuning.csv: stale: code changed: " in facts(tmp_path, profile)["tuning"][1]


def test_dataset_to_fetch(tmp_path: Path, profile: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = (Download(name, name, "", size, ()) for name, size in (("one", 3), ("two", 1500)))
    monkeypatch.setattr(mnist, "FILES", (one, two))
    on_mnist = profile.model_copy(update={"data": DataSettings(name="mnist")})
    folder = tmp_path / "data" / "raw" / "mnist"
    write_text(folder / "one", "abc")
    write_text(folder / "two", "cut short")
    wanted = "mnist: 1 of 2 files are missing (1.5 kB); `repro fetch mnist`"
    assert facts(tmp_path, on_mnist)["dataset"] == [wanted]
    write_text(folder / "two", "x" * 1500)
    assert facts(tmp_path, on_mnist)["dataset"] == ["mnist: fetched"]


def test_packages_that_differ_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = {"torch": "2.13.0+cpu", "numpy": "2.4.0", "PyYAML": "6.0.3"}

    def version(name: str) -> str:
        if name not in installed:
            raise doctor.PackageNotFoundError(name)
        return installed[name]

    monkeypatch.setattr(doctor, "version", version)
    monkeypatch.setattr(
        doctor, "requires", lambda name: ["torch>=2", "safetensors>=0.5", 'mypy; extra == "dev"']
    )
    constraints = tmp_path / "constraints.txt"
    pins = "# pins\ntorch==2.13.0\nnumpy==2.4.6\nPyYAML==6.0.3\n"
    constraints.write_text(pins + "Safetensors==0.8.0\nmypy==2.4.1\n", encoding="utf-8")
    wanted = "not as pinned: numpy 2.4.0 (pinned 2.4.6), Safetensors is not installed (pinned 0.8.0)"
    assert packages(constraints) == wanted
    installed |= {"numpy": "2.4.6", "Safetensors": "0.8.0"}
    assert packages(constraints) == "as constraints.txt pins them"


def test_whole_lock_file(tmp_path: Path) -> None:
    write_text(tmp_path / "dvc.lock", LOCK)
    assert lock_file(tmp_path / "dvc.lock") == "whole"


def test_truncated_lock_file_is_mended_by_git(tmp_path: Path) -> None:
    path = tmp_path / "dvc.lock"
    # A stage and an entry can do without what follows here.
    without = {LOCK.index("    outs"), LOCK.index("      nfiles")}
    for length in range(len(LOCK)):
        write_text(path, LOCK[:length])
        if length not in without:
            assert lock_file(path) == "damaged; `git checkout dvc.lock` mends it", LOCK[:length]
    path.write_bytes(b"\xff\x00")
    assert lock_file(path) == "damaged; `git checkout dvc.lock` mends it"


@pytest.mark.parametrize("left", [b"", b'{"write": {"data/plan', b"[]", b"\xff\x00"])
def test_a_truncated_rwlock_is_named_with_what_mends_it(
    tmp_path: Path, profile: Profile, left: bytes
) -> None:
    path = tmp_path / ".dvc" / "tmp" / "rwlock"
    path.parent.mkdir(parents=True)
    path.write_bytes(left)
    said = facts(tmp_path, profile)
    assert said[".dvc/tmp/rwlock"] == ["damaged; `rm .dvc/tmp/rwlock` mends it"]


@pytest.mark.parametrize(
    "whole", ["{}", '{"write": {}, "read": {"params.yaml": [{"pid": 4, "cmd": "repro"}]}}']
)
def test_a_whole_rwlock_is_not_worth_a_line(tmp_path: Path, profile: Profile, whole: str) -> None:
    write_text(tmp_path / ".dvc" / "tmp" / "rwlock", whole)
    assert ".dvc/tmp/rwlock" not in facts(tmp_path, profile)


def test_left_out_experiments_say_why(tmp_path: Path, profile: Profile) -> None:
    kept = {name: settings for name, settings in profile.experiments.items() if name != "exposure"}
    part = profile.model_copy(update={"experiments": kept, "leaves_out": {"exposure": "too dear"}})
    said = facts(tmp_path, part)
    assert said["exposure"] == ["left out: too dear"]
    assert "exposure" not in said["time to train"][0]


def test_everything_trained_needs_nothing(
    tmp_path: Path, profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "_is_current", lambda folder, fingerprint: True)
    said = facts(tmp_path, profile)
    for what in ("time", "memory", "disk"):
        assert said[f"{what} to train"] == ["nothing to train"]


def test_nothing_is_written(tmp_path: Path, profile: Profile) -> None:
    diagnosis(tmp_path, profile)
    assert [path.name for path in tmp_path.rglob("*")] == ["params.yaml"]
    shutil.rmtree(tmp_path)
