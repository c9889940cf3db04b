"""Evidence from another machine comes in whole and checked, or not at all."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from repro.errors import ReproError
from repro.files import checksum, write_bytes, write_json, write_text
from repro.harness import profile as profiles
from repro.harness.evidence import bring as module
from repro.harness.evidence.bring import SUFFIXES, bring
from repro.harness.evidence.fingerprint import evidence_fingerprint, evidence_folder, evidence_path, staleness
from repro.harness.profile import Profile, load_profile

PARAMS = "profile: tiny\nseeds: {evidence: 1, tuning: 100001}\n"
PROVENANCE = {
    "schema": 1,
    "commit": "0123456789abcdef0123456789abcdef01234567",
    "dirty": False,
    "made": "2026-11-20",
    "device": "NVIDIA H200",
    "seconds": 42.0,
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_text(tmp_path / "here" / "params.yaml", PARAMS)
    return tmp_path / "here"


@pytest.fixture
def profile(root: Path) -> Profile:
    return load_profile("tiny", root)


def make(folder: Path, profile: Profile, name: str, table: str = "run,asr\nra,0.5\n", **made: Any) -> None:
    """Evidence as another machine makes it, of a table that nobody trained for."""
    write_text(folder / f"{name}.csv", table)
    content = evidence_fingerprint(profile, name) | {"table": checksum(folder / f"{name}.csv")}
    write_json(folder / f"{name}.fingerprint.json", content)
    write_json(folder / f"{name}.provenance.json", PROVENANCE | made)


@pytest.fixture
def folder(tmp_path: Path, profile: Profile) -> Path:
    there = tmp_path / "there" / "evidence"
    for name in ("sources", "tuning"):
        make(there, profile, name)
    return there


def edit(path: Path, **changes: Any) -> None:
    write_json(path, json.loads(path.read_text(encoding="utf-8")) | changes)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("above", [False, True])
def test_evidence_arrives_as_it_was(root: Path, profile: Profile, folder: Path, above: bool) -> None:
    said = bring(root, profile, folder.parent if above else folder).splitlines()
    assert contents(evidence_folder(root, "tiny")) == contents(folder)
    assert [path.name for path in (root / "reports" / "tiny").iterdir()] == ["evidence"]
    assert staleness(root, "tiny", "tuning") is None
    origin = "from commit 0123456789ab, on NVIDIA H200, 2026-11-20"
    assert said[:2] == [f"sources: brought; {origin}", f"tuning: brought; {origin}"]
    assert said[2] == (
        "now: `repro claims --profile tiny`, `repro report --profile tiny`, `pytest claims/ --profile tiny` "
        "(once claims/expected/tiny.yaml says what to expect)"
    )


def unlinked(suffix: str) -> Callable[[Path], None]:
    return lambda folder: (folder / f"tuning{suffix}").unlink()


def written(suffix: str, content: str) -> Callable[[Path], None]:
    return lambda folder: write_text(folder / f"tuning{suffix}", content)


def edited(suffix: str, **changes: Any) -> Callable[[Path], None]:
    return lambda folder: edit(folder / f"tuning{suffix}", **changes)


def table_of(text: str) -> Callable[[Path], None]:
    """Another table, with the checksum that goes with it."""

    def change(folder: Path) -> None:
        write_text(folder / "tuning.csv", text)
        edit(folder / "tuning.fingerprint.json", table=checksum(folder / "tuning.csv"))

    return change


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (unlinked(".csv"), "tuning.csv: cannot be read"),
        (unlinked(".fingerprint.json"), "tuning.fingerprint.json: cannot be read"),
        (unlinked(".provenance.json"), "tuning.provenance.json: cannot be read"),
        (written(".csv", "run,asr\nra,0.6\n"), "tuning.csv: not the table that its fingerprint was made for"),
        (written(".fingerprint.json", "[]"), "tuning.fingerprint.json: not a fingerprint"),
        (written(".fingerprint.json", '{"table":'), "tuning.fingerprint.json: not a fingerprint"),
        (edited(".fingerprint.json", phases={"train": 3}), "tuning.fingerprint.json: not a fingerprint"),
        (edited(".fingerprint.json", profile="digits"), "of profile digits, not tiny"),
        (edited(".fingerprint.json", experiment="sources"), "of experiment sources, not tuning"),
        (edited(".fingerprint.json", schema=9), "tuning.csv: stale here: schema 9 is not 2"),
        (edited(".fingerprint.json", rows={"repro.old": "1"}), "tuning.csv: stale here: code changed: "),
        (written(".provenance.json", "gone"), "tuning.provenance.json: not a provenance"),
        (written(".provenance.json", "[]"), "tuning.provenance.json: not a provenance"),
        (written(".provenance.json", '{"schema": 1}'), "tuning.provenance.json: not a provenance"),
        (edited(".provenance.json", schema=7), "tuning.provenance.json: schema 7 is not 1"),
        (edited(".provenance.json", dirty=None), "does not say which commit made it"),
        (
            edited(".provenance.json", dirty=True),
            "made from uncommitted changes to commit 0123456789ab; --dirty",
        ),
        (edited(".provenance.json", commit=None), "made from code outside of git; --dirty"),
        (table_of("run,asr\nra\n"), "tuning.csv:2: 1 cells where the header has 2"),
        (table_of("run,asr\n"), "tuning.csv: no rows"),
        (lambda folder: write_text(folder / "notes.csv", "a\n1\n"), "notes.fingerprint.json: cannot be read"),
    ],
)
def test_one_that_is_wrong_keeps_all_out(
    root: Path, profile: Profile, folder: Path, spoil: Callable[[Path], None], message: str
) -> None:
    spoil(folder)
    with pytest.raises(ReproError) as error:
        bring(root, profile, folder)
    assert message in str(error.value)
    assert str(error.value).endswith("; nothing was brought")
    assert "\n" not in str(error.value)
    assert not (root / "reports").exists()


def test_all_that_are_wrong_are_named(root: Path, profile: Profile, folder: Path) -> None:
    for name in ("sources", "tuning"):
        (folder / f"{name}.provenance.json").unlink()
    with pytest.raises(ReproError, match=r"sources\.provenance.*; wrong too: tuning; nothing was brought$"):
        bring(root, profile, folder)


def test_other_parameters_here(root: Path, folder: Path) -> None:
    write_text(root / "params.yaml", PARAMS.replace("100001", "200001"))
    with pytest.raises(ReproError, match=r"tuning\.csv: stale here: parameters of phase train changed"):
        bring(root, load_profile("tiny", root), folder)


def test_an_experiment_that_is_none(root: Path, profile: Profile, folder: Path) -> None:
    for suffix in SUFFIXES:
        (folder / f"tuning{suffix}").rename(folder / f"notes{suffix}")
    with pytest.raises(ReproError, match=r"notes\.csv: profile tiny has no experiment 'notes'"):
        bring(root, profile, folder)


@pytest.mark.parametrize("commit", [PROVENANCE["commit"], None])
def test_uncommitted_code_is_said_to_be(
    root: Path, profile: Profile, folder: Path, commit: str | None
) -> None:
    edit(folder / "tuning.provenance.json", dirty=commit is not None, commit=commit)
    said = bring(root, profile, folder, dirty=True)
    why = "uncommitted changes to commit 0123456789ab" if commit else "code outside of git"
    assert f"tuning: brought; from {why}, on NVIDIA H200, 2026-11-20\n" in said
    assert "sources: brought; from commit " in said


def test_the_same_is_left_alone(root: Path, profile: Profile, folder: Path) -> None:
    bring(root, profile, folder)
    edit(folder / "tuning.provenance.json", made="2026-11-21")
    before = contents(root)
    said = bring(root, profile, folder).splitlines()
    assert said[0].startswith("sources: the same is here already; from commit ")
    assert said[1].startswith("tuning: the same is here already; from commit ")
    assert contents(root) == before


def test_another_one_is_replaced_when_asked_to(root: Path, profile: Profile, folder: Path) -> None:
    bring(root, profile, folder)
    make(folder, profile, "tuning", "run,asr\nra,0.75\n")
    before = contents(root)
    with pytest.raises(ReproError, match=r"tuning\.csv: not the one of .*--replace.*; nothing was brought$"):
        bring(root, profile, folder)
    assert contents(root) == before
    said = bring(root, profile, folder, replace=True)
    assert "sources: the same is here already" in said
    assert "tuning: brought" in said
    assert contents(evidence_folder(root, "tiny")) == contents(folder)


def test_what_was_cut_short_is_completed(root: Path, profile: Profile, folder: Path) -> None:
    write_bytes(evidence_path(root, "tiny", "tuning"), (folder / "tuning.csv").read_bytes())
    assert "tuning: brought" in bring(root, profile, folder)
    assert contents(evidence_folder(root, "tiny")) == contents(folder)


def test_a_full_disk_changes_nothing(
    root: Path, profile: Profile, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring(root, profile, folder)
    before = contents(root)
    for name in ("sources", "tuning"):
        make(folder, profile, name, "run,asr\nra,0.75\n")

    def write(path: Path, content: bytes) -> None:
        if path.name.startswith("tuning"):
            raise ReproError(f"{path}: cannot write (No space left on device)")
        write_bytes(path, content)

    monkeypatch.setattr(module, "write_bytes", write)
    with pytest.raises(ReproError, match="No space left"):
        bring(root, profile, folder, replace=True)
    assert contents(root) == before
    assert [path.name for path in (root / "reports" / "tiny").iterdir()] == ["evidence"]


def test_what_the_profile_leaves_out_comes_along(
    root: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = yaml.safe_load((profiles.FOLDER / "tiny.yaml").read_text(encoding="utf-8"))
    del content["experiments"]["exposure"]  # what is left out is not sized
    write_text(
        tmp_path / "p" / "tiny.yaml",
        yaml.safe_dump(content | {"leaves_out": {"exposure": "dear"}}, sort_keys=False),
    )
    monkeypatch.setattr(profiles, "FOLDER", tmp_path / "p")
    profile = load_profile("tiny", root)
    write_text(folder / "exposure.csv", "\n")
    for suffix in (".fingerprint.json", ".provenance.json"):
        write_json(folder / f"exposure{suffix}", {"left out": "dear"})
    assert "exposure: brought; left out: dear\n" in bring(root, profile, folder)
    make(folder, load_profile("tiny", root), "tuning", "run,asr\nrb,0.5\n")
    write_json(folder / "exposure.fingerprint.json", {"left out": "for another reason"})
    with pytest.raises(ReproError, match=r"exposure\.csv: profile tiny leaves exposure out"):
        bring(root, profile, folder, replace=True)


def test_no_evidence(root: Path, profile: Profile, tmp_path: Path) -> None:
    with pytest.raises(ReproError, match="gone: no such folder"):
        bring(root, profile, tmp_path / "gone")
    write_text(tmp_path / "empty" / "README.md", "nothing\n")
    with pytest.raises(ReproError, match="empty: no evidence in it"):
        bring(root, profile, tmp_path / "empty")
