"""`repro list` shows every piece by itself, and the verdict table shows every claim."""

import json
from pathlib import Path
from typing import Any

import pytest

from repro import plugins
from repro.claims.catalogue import load_claims
from repro.errors import ReproError
from repro.harness import profile as profiles
from repro.listing import listing, verdict_table

KINDS = [
    "papers",
    "datasets",
    "attacks",
    "triggers",
    "families",
    "defences",
    "architectures",
    "engines",
    "experiments",
    "claims",
    "profiles",
]


def names(kind: str) -> list[str]:
    return [line.split()[0] for line in listing(kind).splitlines()[1:]]


@pytest.mark.parametrize("kind", plugins.KINDS)
def test_every_piece_is_listed_with_its_title(kind: str) -> None:
    plural = {"family": "families"}.get(kind, f"{kind}s")
    assert names(plural) == list(plugins.names(kind))
    for line in listing(plural).splitlines()[1:]:
        assert len(line.split()) > 2, f"{line}: without a title"


def test_claims_and_profiles_are_listed() -> None:
    assert names("claims") == list(load_claims())
    assert names("profiles") == list(profiles.names())
    assert "scikit-learn" in next(line for line in listing("profiles").splitlines() if " digits " in line)


def test_a_new_piece_is_listed_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "triggers"
    folder.mkdir()
    (folder / "ring.py").write_text('"""A ring.\n\nMore of it."""\nimport not_there\n', encoding="utf-8")
    (folder / "_shared.py").write_text('"""Not a piece."""\n', encoding="utf-8")
    monkeypatch.setattr(plugins, "ROOT", tmp_path)
    assert listing("triggers") == "triggers\n  ring  A ring."


def test_all_kinds_in_sections() -> None:
    sections = listing(None).split("\n\n")
    assert [section.splitlines()[0] for section in sections] == KINDS
    assert sections == [listing(kind) for kind in KINDS]


def test_unknown_kind_names_the_kinds() -> None:
    with pytest.raises(ReproError, match=rf"^unknown kind 'trigger': there are {', '.join(KINDS)}$"):
        listing("trigger")


def test_profile_that_is_not_yaml_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torn.yaml").write_text("title: [", encoding="utf-8")
    monkeypatch.setattr(profiles, "FOLDER", tmp_path)
    with pytest.raises(ReproError, match=r"torn\.yaml"):
        listing("profiles")


def verdict(claim: str, outcome: str, **figures: Any) -> dict[str, Any]:
    return {"id": claim, "verdict": outcome, "estimate": None, "interval": None, "n": 0} | figures


def write(root: Path, content: str) -> Path:
    path = root / "reports" / "digits" / "verdicts.json"
    path.parent.mkdir(parents=True)
    path.write_text(content, encoding="utf-8")
    return path


def test_verdict_table(tmp_path: Path) -> None:
    verdicts = [
        verdict("truong-09", "reproduced", estimate=-0.61234, interval=[-0.7, -0.5], n=60),
        verdict("truong-12", "contradicted", estimate=0.0, interval=None, n=60),
        verdict("truong-04", "not measured"),
        verdict("truong-10", "reproduced", estimate=0.001, interval=[-0.01, 0.012], n=60),
    ]
    write(tmp_path, json.dumps(verdicts))
    lines = verdict_table(tmp_path, "digits").splitlines()
    assert lines[0].split() == ["claim", "verdict", "estimate", "interval", "n", "title"]
    assert lines[1].split()[:6] == ["truong-09", "reproduced", "-0.612", "[-0.700,", "-0.500]", "60"]
    assert lines[1].endswith(load_claims()["truong-09"].title)
    assert lines[2].split()[:4] == ["truong-12", "contradicted", "+0.000", "60"]
    assert lines[3].split()[:3] == ["truong-04", "not", "measured"]
    assert lines[-1] == "digits: 4 claims: 2 reproduced, 1 contradicted, 1 not measured"
    column = lines[0].index("title")
    assert all(line[column - 2 : column] == "  " for line in lines[1:5])


def test_a_claim_of_another_version_is_shown_without_a_title(tmp_path: Path) -> None:
    write(tmp_path, json.dumps([verdict("gone-01", "reproduced")]))
    assert verdict_table(tmp_path, "digits").splitlines()[1] == "gone-01  reproduced"


def test_missing_verdicts(tmp_path: Path) -> None:
    with pytest.raises(ReproError, match=r"digits/verdicts\.json: no such file; `repro claims` writes it$"):
        verdict_table(tmp_path, "digits")


@pytest.mark.parametrize("content", ["", "[", "3", '{"a": 1}', '[{"id": "truong-01"}]', "[[]]"])
def test_broken_verdicts(tmp_path: Path, content: str) -> None:
    write(tmp_path, content)
    with pytest.raises(ReproError, match=r"verdicts\.json: not a list of verdicts \(.*\); `repro claims`"):
        verdict_table(tmp_path, "digits")
