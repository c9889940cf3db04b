"""Evidence is current exactly as long as code that its runs use, their parameters, the data and the table are."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from repro import plugins
from repro.files import checksum, write_json
from repro.harness import profile as profiles
from repro.harness.evidence import definitions, fingerprint
from repro.harness.evidence.fingerprint import evidence_fingerprint, evidence_path, staleness
from repro.harness.evidence.table import table, write_table
from repro.harness.profile import load_profile


def forget() -> None:
    """Read the code anew."""
    for cached in (definitions.module_of, fingerprint.code, fingerprint._reached):
        cached.cache_clear()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of this package's sources, which fingerprints are taken of."""
    copy = tmp_path / "package" / "repro"
    shutil.copytree(definitions.PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(definitions, "PACKAGE", copy)
    forget()
    yield copy
    forget()


Change = Callable[[str, str, str], None]


@pytest.fixture
def change(package: Path) -> Change:
    def replace(file: str, before: str, after: str) -> None:
        path = package / file
        text = path.read_text(encoding="utf-8")
        assert before in text
        path.write_text(text.replace(before, after, 1), encoding="utf-8")
        forget()

    return replace


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    root.mkdir()
    (root / "params.yaml").write_text(
        "profile: digits\nseeds: {evidence: 1, tuning: 100001}\n", encoding="utf-8"
    )
    for experiment in ("tuning", "trigger_by_model"):
        make(root, experiment)
    return root


def make(root: Path, experiment: str) -> None:
    """Evidence as `repro evidence` leaves it, of a table that nobody trained for."""
    path = evidence_path(root, "digits", experiment)
    write_table(path, table([{"run": "ra", "asr": 0.5}]))
    content = evidence_fingerprint(load_profile("digits", root), experiment)
    write_json(path.with_suffix(".fingerprint.json"), content | {"table": checksum(path)})


def test_current_evidence(package: Path, project: Path) -> None:
    assert staleness(project, "digits", "tuning") is None


@pytest.mark.parametrize("suffix", [".csv", ".fingerprint.json"])
def test_missing_evidence(project: Path, suffix: str) -> None:
    evidence_path(project, "digits", "tuning").with_suffix(suffix).unlink()
    wanted = "reports/digits/evidence/tuning.csv: missing; `dvc repro` makes it"
    assert staleness(project, "digits", "tuning") == wanted


def test_edited_table(project: Path) -> None:
    path = evidence_path(project, "digits", "tuning")
    path.write_text(path.read_text(encoding="utf-8").replace("0.5", "0.6"), encoding="utf-8")
    assert staleness(project, "digits", "tuning") == (
        "reports/digits/evidence/tuning.csv: edited since it was made; `git checkout` it or run `dvc repro`"
    )


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"table":'])
def test_broken_fingerprint(project: Path, content: str) -> None:
    beside = evidence_path(project, "digits", "tuning").with_suffix(".fingerprint.json")
    beside.write_text(content, encoding="utf-8")
    assert staleness(project, "digits", "tuning") == (
        "reports/digits/evidence/tuning.fingerprint.json: not a fingerprint; `dvc repro` makes it anew"
    )


def test_fingerprint_of_another_shape(project: Path) -> None:
    beside = evidence_path(project, "digits", "tuning").with_suffix(".fingerprint.json")
    stored = json.loads(beside.read_text(encoding="utf-8"))
    write_json(beside, {"table": stored["table"]})
    assert "stale: schema None is not 2" in str(staleness(project, "digits", "tuning"))


def test_seed_of_tuning_makes_only_tuning_stale(project: Path) -> None:
    params = project / "params.yaml"
    params.write_text(params.read_text(encoding="utf-8").replace("100001", "200001"), encoding="utf-8")
    assert staleness(project, "digits", "tuning") == (
        "reports/digits/evidence/tuning.csv: stale: parameters of phase train changed; "
        "`dvc repro` brings it up to date"
    )
    assert staleness(project, "digits", "trigger_by_model") is None


def test_retraining_parameter_leaves_poisoned_models_alone(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = (profiles.FOLDER / "digits.yaml").read_text(encoding="utf-8")
    (tmp_path / "digits.yaml").write_text(content.replace("  epochs: 20", "  epochs: 21"), encoding="utf-8")
    assert "  epochs: 20" in content
    monkeypatch.setattr(profiles, "FOLDER", tmp_path)
    stale = str(staleness(project, "digits", "trigger_by_model"))
    assert "stale: parameters of phase retrain changed;" in stale
    assert staleness(project, "digits", "tuning") is None


def test_changed_code_is_named(package: Path, project: Path, change: Change) -> None:
    change("training/fleet.py", "CENTRE = 0.5", "CENTRE = 0.25")
    assert staleness(project, "digits", "tuning") == (
        "reports/digits/evidence/tuning.csv: stale: code changed: repro/training/fleet.py: CENTRE; "
        "`repro attest` proves it means the same, or `dvc repro` makes it anew"
    )


def test_a_setting_that_only_rows_read_makes_stale(project: Path, tmp_path: Path, monkeypatch: Any) -> None:
    make(project, "mitigation")
    assert staleness(project, "digits", "mitigation") is None
    content = (profiles.FOLDER / "digits.yaml").read_text(encoding="utf-8")
    (tmp_path / "digits.yaml").write_text(
        content.replace("experiments:\n", "experiments:\n  mitigation: {accuracy_budget: 0.2}\n"),
        encoding="utf-8",
    )
    monkeypatch.setattr(profiles, "FOLDER", tmp_path)
    assert "stale: parameters changed;" in str(staleness(project, "digits", "mitigation"))


def test_another_package_is_named_with_both_versions(project: Path, monkeypatch: Any) -> None:
    made = fingerprint.packages()
    monkeypatch.setattr(fingerprint, "packages", lambda: made | {"torch": "9.9.9"})
    assert f"stale: made with torch {made['torch']}, here it is 9.9.9;" in str(
        staleness(project, "digits", "tuning")
    )


@pytest.mark.parametrize(
    ("file", "before", "after"),
    [
        ("harness/task.py", "data.limit", "None"),
        ("harness/process.py", "torch.set_num_threads(1)", "torch.set_num_threads(4)"),
        ("harness/workers.py", "_MOST_RUNS, _SHARES = 30", "_MOST_RUNS, _SHARES = 31"),
        ("harness/execute.py", 'entries[job.key]["record"] for', "{} for"),
        ("harness/evidence/store.py", "content if isinstance", "{} if isinstance"),
    ],
)
def test_what_carries_runs_out_counts(
    package: Path, project: Path, change: Change, file: str, before: str, after: str
) -> None:
    change(file, before, after)
    assert f"code changed: repro/{file}: " in str(staleness(project, "digits", "tuning"))


def test_what_means_nothing_leaves_evidence_current(package: Path, project: Path, change: Change) -> None:
    change("training/fleet.py", "CENTRE = 0.5", "UNUSED = 3\n# a remark\nCENTRE: float = 0.5")
    change("training/fleet.py", "early stopping needs a validation split", "a clearer text")
    change("training/fleet.py", '"""A defence\'s piece,', '"""Explained: a defence\'s piece,')
    change("training/fleet.py", "import torch\n", "import torch\nimport math\n")
    change("claims/judge.py", "import", "import math\nimport")
    (package / "triggers" / "newcomer.py").write_text("OPTIONS = {}\n", encoding="utf-8")
    assert staleness(project, "digits", "tuning") is None


def test_other_data(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    piece: Any = plugins.load("dataset", "digits")
    monkeypatch.setattr(piece, "checksum", lambda: "another")
    assert "stale: data changed;" in str(staleness(project, "digits", "tuning"))
