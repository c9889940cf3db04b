"""The gate in a temporary project: what its reader is told, word for word."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from synthetic_evidence import evidence

from repro.claims import gate as gating
from repro.claims import judge as judging
from repro.claims.catalogue import load_claims
from repro.claims.facts import ProfileFacts
from repro.claims.gate import Gate, expected_profiles, read_expected
from repro.claims.judge import write_verdicts
from repro.errors import ReproError
from repro.harness.evidence.table import read_table, table, write_table

CLAIMS = {c: load_claims()[c] for c in ("truong-07", "desanctis-23", "truong-25")}
FACTS = ProfileFacts("digits", frozenset({"trigger_by_model", "sources"}))
GOOD = {
    "truong-07": {"verdict": "reproduced"},
    "desanctis-23": {"verdict": "not measured", "reason": "no experiment yet"},
    "truong-25": {"verdict": "reproduced"},
}
ROOT = Path(__file__).resolve().parents[2]


def expect(root: Path, entries: object, profile: str = "digits") -> Path:
    path = root / "claims" / "expected" / f"{profile}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(entries), encoding="utf-8")
    return path


def csv(root: Path, experiment: str) -> Path:
    return root / "reports" / "digits" / "evidence" / f"{experiment}.csv"


@pytest.fixture
def stale(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Which experiments are stale and why; empty: all current."""
    reasons: dict[str, str] = {}
    monkeypatch.setattr(gating, "staleness", lambda root, profile, experiment: reasons.get(experiment))
    return reasons


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stale: dict[str, str]) -> Path:
    """A project whose gate passes."""
    for module in (gating, judging):
        monkeypatch.setattr(module, "profile_facts", lambda root, name: FACTS)
        monkeypatch.setattr(module, "load_claims", lambda: CLAIMS)
    for claim in CLAIMS.values():
        for experiment, content in evidence(claim).items():
            write_table(csv(tmp_path, experiment), content)
    expect(tmp_path, GOOD)
    write_verdicts(tmp_path, "digits")
    return tmp_path


def test_a_project_that_agrees_with_its_file_passes(root: Path) -> None:
    gate = Gate(root, "digits")
    assert gate.ids == tuple(CLAIMS)
    assert [gate.failure(claim_id) for claim_id in gate.ids] == [None, None, None]


def test_a_verdict_for_the_worse_fails_with_its_figures(root: Path) -> None:
    rows = [dict(row) for row in read_table(csv(root, "sources"))]
    for row in rows:
        row["clean_accuracy"] -= 0.2 * (row["sources"] == "many-to-one")
    write_table(csv(root, "sources"), table(rows))
    failure = Gate(root, "digits").failure("truong-25")
    assert failure.startswith(
        "truong-25 in profile digits is contradicted, expected reproduced: "
        "clean validation accuracy: the 99.80 % interval [-0.2"
    )
    assert failure.endswith(
        "lies wholly outside the margin 0.03. If the change is right, "
        f"update {root / 'claims' / 'expected' / 'digits.yaml'}"
    )
    assert Gate(root, "digits").failure("truong-07") is None


def test_a_verdict_for_the_better_fails_too(root: Path) -> None:
    expect(root, GOOD | {"truong-07": {"verdict": "inconclusive", "reason": "noise"}})
    failure = Gate(root, "digits").failure("truong-07")
    assert failure.startswith("truong-07 in profile digits is reproduced, expected inconclusive: the 99.80 %")
    assert "If the change for the better is right, update " in failure


def test_missing_evidence_fails(root: Path) -> None:
    csv(root, "sources").unlink()
    gate = Gate(root, "digits")
    assert gate.failure("truong-25") == f"{csv(root, 'sources')}: no such evidence; `dvc repro` makes it"
    assert gate.failure("truong-07") is None


def test_stale_evidence_fails_with_the_reason_of_the_fingerprint(root: Path, stale: dict[str, str]) -> None:
    stale["sources"] = "sources.csv is stale: code changed: repro.training.fleet"
    gate = Gate(root, "digits")
    assert gate.failure("truong-25") == "sources.csv is stale: code changed: repro.training.fleet"
    assert gate.failure("truong-07") is None


def test_incomplete_evidence_fails_as_itself(root: Path) -> None:
    write_table(csv(root, "sources"), table(list(read_table(csv(root, "sources")))[1:]))
    assert "sources.csv: incomplete evidence: unit u000" in Gate(root, "digits").failure("truong-25")


def test_a_claim_without_entry_and_an_entry_without_claim_fail(root: Path) -> None:
    path = expect(
        root, {c: e for c, e in GOOD.items() if c != "desanctis-23"} | {"truong-99": GOOD["truong-07"]}
    )
    gate = Gate(root, "digits")
    assert gate.ids == (*CLAIMS, "truong-99")
    assert gate.failure("desanctis-23") == (
        f"{path}: claim desanctis-23 has no entry; today it is not measured "
        "(profile digits does not run experiment latent)"
    )
    assert gate.failure("truong-99") == f"{path}: entry truong-99 has no claim; remove it, or correct its id"


def test_committed_verdicts_must_be_those_of_the_evidence(root: Path) -> None:
    path = root / "reports" / "digits" / "verdicts.json"
    listed = json.loads(path.read_text(encoding="utf-8"))
    right = json.loads(path.read_text(encoding="utf-8"))[0]["estimate"]
    listed[0]["estimate"] = right + 0.001
    path.write_text(json.dumps(listed), encoding="utf-8")
    assert Gate(root, "digits").failure("truong-07") == (
        f"{path}: truong-07: estimate is {right + 0.001}, but the evidence gives {right}; `dvc repro` writes it anew"
    )
    assert Gate(root, "digits").failure("truong-25") is None
    listed[0]["estimate"] = right * (1 + 1e-12)
    path.write_text(json.dumps(listed), encoding="utf-8")
    assert Gate(root, "digits").failure("truong-07") is None
    listed[0]["verdict"] = "contradicted"
    path.write_text(json.dumps(listed), encoding="utf-8")
    assert "verdict is contradicted, but the evidence gives reproduced" in Gate(root, "digits").failure(
        "truong-07"
    )


def test_verdicts_that_are_missing_or_broken_fail(root: Path) -> None:
    path = root / "reports" / "digits" / "verdicts.json"
    listed = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(listed[1:]), encoding="utf-8")
    assert Gate(root, "digits").failure("truong-07") == (
        f"{path}: no verdict of truong-07; `dvc repro` writes it anew"
    )
    for broken in ("[", "[1]", "{}x", '[{"verdict": "reproduced"}]'):
        path.write_text(broken, encoding="utf-8")
        assert Gate(root, "digits").failure("truong-07").startswith(f"{path}: not a list of verdicts (")
    path.unlink()
    assert Gate(root, "digits").failure("truong-07") == f"{path}: no such file; `dvc repro` writes it"


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"truong-07": {"verdict": "contradicted"}}, "truong-07: a verdict 'contradicted' needs a reason"),
        (
            {"truong-07": {"verdict": "inconclusive", "reason": " "}},
            "truong-07: a verdict 'inconclusive' needs a reason",
        ),
        (
            {"truong-07": {"verdict": "fine"}},
            "truong-07.verdict: Input should be 'reproduced', 'contradicted', ",
        ),
        (
            {"truong-07": {"verdict": "reproduced", "why": "x"}},
            "truong-07.why: Extra inputs are not permitted",
        ),
        ({"truong-07": "reproduced"}, "truong-07: Input should be a valid dictionary"),
        (["truong-07"], "Input should be a valid dictionary"),
    ],
)
def test_a_wrong_expected_file_is_one_line(tmp_path: Path, entries: object, message: str) -> None:
    path = expect(tmp_path, entries)
    with pytest.raises(ReproError) as caught:
        read_expected(tmp_path, "digits")
    assert str(caught.value).startswith(f"{path}: {message}")
    assert "\n" not in str(caught.value)


def test_profiles_are_those_with_a_file(tmp_path: Path) -> None:
    with pytest.raises(ReproError, match=r"expected: no profile has a file of expected verdicts here$"):
        expected_profiles(tmp_path)
    expect(tmp_path, {}, "mnist")
    expect(tmp_path, {}, "digits")
    assert expected_profiles(tmp_path) == ["digits", "mnist"]
    with pytest.raises(
        ReproError, match=r"cifar.yaml: no such file; profiles with expected verdicts: digits, mnist$"
    ):
        read_expected(tmp_path, "cifar")


STUBS = """
import sys
sys.path.insert(0, {tests!r})
from test_gate import CLAIMS, FACTS
from repro.claims import gate
gate.staleness = lambda root, profile, experiment: None
gate.load_claims = lambda: CLAIMS
gate.profile_facts = lambda root, name: FACTS
"""


def run_pytest(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "claims/", *arguments]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


@pytest.fixture
def with_tests(root: Path) -> Path:
    """The project with the repository's own claims/ tests, on the claims of this module."""
    for name in ("conftest.py", "test_claims.py"):
        shutil.copy(ROOT / "claims" / name, root / "claims" / name)
    (root / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    (root / "conftest.py").write_text(STUBS.format(tests=str(Path(__file__).parent)), encoding="utf-8")
    return root


def test_pytest_shows_one_test_a_claim_and_profile_and_the_gates_words(with_tests: Path) -> None:
    expect(with_tests, GOOD | {"truong-07": {"verdict": "contradicted", "reason": "so it was"}})
    done = run_pytest(with_tests, "-v", "--profile", "digits", "--junitxml=out.xml")
    assert done.returncode == 1
    for line in (
        "claims/test_claims.py::test_claim[digits-truong-07] FAILED",
        "claims/test_claims.py::test_claim[digits-desanctis-23] PASSED",
        "claims/test_claims.py::test_claim[digits-truong-25] PASSED",
        "truong-07 in profile digits is reproduced, expected contradicted: the 99.80 % interval",
        "1 failed, 2 passed",
    ):
        assert line in done.stdout
    assert "Traceback" not in done.stdout
    assert "test_claim[digits-truong-07]" in (with_tests / "out.xml").read_text(encoding="utf-8")


def test_pytest_judges_every_profile_with_a_file_and_names_one_without(with_tests: Path) -> None:
    assert "3 passed" in run_pytest(with_tests).stdout
    done = run_pytest(with_tests, "--profile", "flowers")
    assert done.returncode == 4
    path = with_tests / "claims" / "expected" / "flowers.yaml"
    assert done.stderr.strip() == f"ERROR: {path}: no such file; profiles with expected verdicts: digits"
