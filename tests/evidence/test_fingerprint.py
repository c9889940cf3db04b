"""Evidence is current exactly as long as code that its runs use, their parameters, the data and the table are."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from repro import plugins, profiles
from repro.evidence import fingerprint
from repro.evidence.files import write_json
from repro.evidence.fingerprint import code, essence, evidence_fingerprint, evidence_path, staleness
from repro.evidence.table import checksum, table, write_table
from repro.profiles import load_profile

SOURCE = '''"""A module."""

from repro import errors


class Shape:
    """A shape."""

    def area(self, side: int) -> int:
        """Of a square."""
        # Not a comment: "# this".
        text = "# this"  # but this is
        return side * side + len(text)
'''


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"""A module."""', '"""Another\n\nmodule.\n"""'),
        ('        """Of a square."""\n', ""),
        ("        # Not a comment", "        # A comment"),
        ("  # but this is", ""),
        ("\n\n\nclass", "\n\n\n\n\nclass"),
        ("import errors\n", "import errors   \n"),
    ],
)
def test_explaining_changes_nothing(before: str, after: str) -> None:
    assert before in SOURCE
    assert essence(SOURCE.replace(before, after)) == essence(SOURCE)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("side * side", "side + side"),
        ('"# this"', '"# that"'),
        ("import errors", "import plugins"),
        ("return side", "return  side"),
        ("class Shape", "class Form"),
    ],
)
def test_code_changes_something(before: str, after: str) -> None:
    assert before in SOURCE
    assert essence(SOURCE.replace(before, after)) != essence(SOURCE)


def test_a_string_that_is_used_is_no_docstring() -> None:
    assert essence('x = """a"""\n') != essence('x = """b"""\n')
    assert essence('def f():\n    return """a"""\n') != essence('def f():\n    return """b"""\n')


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of this package's sources, which fingerprints are taken of."""
    copy = tmp_path / "package" / "repro"
    shutil.copytree(fingerprint.PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(fingerprint, "PACKAGE", copy)
    fingerprint._module.cache_clear()
    yield copy
    fingerprint._module.cache_clear()


@pytest.fixture
def edit(package: Path) -> Callable[[str, str], None]:
    def append(module: str, text: str) -> None:
        path = package.joinpath(*module.split(".")[1:]).with_suffix(".py")
        if not path.exists():
            path = path.with_suffix("") / "__init__.py"
        path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")
        fingerprint._module.cache_clear()

    return append


def test_what_is_imported_counts_and_nothing_else(package: Path, edit: Callable[[str, str], None]) -> None:
    before = code({"repro.training.backdoor"})
    assert {
        "repro.training.backdoor",
        "repro.training.fleet",
        "repro.training",
        "repro.runs",
    } <= before.keys()
    assert not [name for name in before if name.startswith(("repro.claims", "repro.report", "repro.cli"))]
    (package / "training" / "newcomer.py").write_text("x = 1\n", encoding="utf-8")
    edit("repro.claims.judge", "\nX = 1\n")
    edit("repro.training.fleet", "\n# a remark\n")
    assert code({"repro.training.backdoor"}) == before
    edit("repro.training.fleet", "\nX = 1\n")
    after = code({"repro.training.backdoor"})
    assert {name for name in after if after[name] != before[name]} == {"repro.training.fleet"}


def test_imports_are_followed_through_modules(package: Path, edit: Callable[[str, str], None]) -> None:
    (package / "far.py").write_text("import repro.farther\n", encoding="utf-8")
    (package / "farther.py").write_text(
        "def f():\n    from repro.training import farthest\n", encoding="utf-8"
    )
    (package / "training" / "farthest.py").write_text("x = 1\n", encoding="utf-8")
    assert {"repro.far", "repro.farther", "repro.training", "repro.training.farthest"} <= code(
        {"repro.far"}
    ).keys()


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
    assert "stale: schema None is not 1" in str(staleness(project, "digits", "tuning"))


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


def test_changed_code_is_named(package: Path, project: Path, edit: Callable[[str, str], None]) -> None:
    edit("repro.defences.snnl", "\nX = 1\n")
    assert staleness(project, "digits", "tuning") == (
        "reports/digits/evidence/tuning.csv: stale: code changed: repro.defences.snnl; "
        "`dvc repro` brings it up to date"
    )
    assert staleness(project, "digits", "trigger_by_model") is None
    edit("repro.training.fleet", "\nX = 1\n")
    assert "code changed: repro.training.fleet;" in str(staleness(project, "digits", "trigger_by_model"))


def test_a_remark_and_an_unrelated_file_leave_evidence_current(
    package: Path, project: Path, edit: Callable[[str, str], None]
) -> None:
    edit("repro.training.fleet", "\n# a remark\n")
    edit("repro.claims.judge", "\nX = 1\n")
    (package / "triggers" / "newcomer.py").write_text("OPTIONS = {}\n", encoding="utf-8")
    assert staleness(project, "digits", "tuning") is None


def test_other_data(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    piece: Any = plugins.load("dataset", "digits")
    monkeypatch.setattr(piece, "checksum", lambda: "another")
    assert "stale: data changed;" in str(staleness(project, "digits", "tuning"))
