"""An experiment that a profile leaves out has its stages all the same: no run, no rows, and the reason beside them."""

from pathlib import Path

import pytest
import yaml

from repro.claims.catalogue import load_claim
from repro.claims.facts import profile_facts
from repro.claims.judge import judge
from repro.harness import profile as profiles
from repro.harness.evidence.fingerprint import evidence_path
from repro.harness.evidence.make import make_evidence
from repro.harness.evidence.table import read_table
from repro.harness.execute import run_phases
from repro.harness.profile import Profile, load_profile

REASON = "not in this slice"


@pytest.fixture
def part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Profile:
    (tmp_path / "params.yaml").write_text(
        "profile: part\nseeds: {evidence: 1, tuning: 100001}\n", encoding="utf-8"
    )
    tiny = (profiles.FOLDER / "tiny.yaml").read_text(encoding="utf-8")
    folder = tmp_path / "profiles"
    folder.mkdir()
    (folder / "tiny.yaml").write_text(tiny, encoding="utf-8")
    content = {"slice_of": "tiny", "title": "a part", "leaves_out": {"sources": REASON}}
    (folder / "part.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    monkeypatch.setattr(profiles, "FOLDER", folder)
    return load_profile("part", tmp_path)


def test_it_runs_nothing_and_says_why(tmp_path: Path, part: Profile) -> None:
    said: list[str] = []
    run_phases(tmp_path, part, "sources", None, said.append)
    assert said == [f"sources train: left out: {REASON}"]
    left = tmp_path / "data" / "runs" / "part" / "sources" / "train" / "left_out.json"
    assert REASON in left.read_text(encoding="utf-8")
    assert not (tmp_path / ".repro").exists()


def test_its_table_has_no_rows_and_a_claim_on_it_is_not_measured(tmp_path: Path, part: Profile) -> None:
    path = make_evidence(tmp_path, part, "sources")
    assert path == evidence_path(tmp_path, "part", "sources")
    assert len(read_table(path)) == 0
    for beside in (".fingerprint.json", ".provenance.json"):
        assert REASON in path.with_suffix(beside).read_text(encoding="utf-8")
    verdict = judge(load_claim("truong-24"), {}, profile_facts(tmp_path, "part"))
    assert verdict.verdict == "not measured"
    assert verdict.reason == "profile part does not run experiment sources"
