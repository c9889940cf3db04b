"""What a notebook calls does in one line what the command line does in several."""

import json
from pathlib import Path

import pytest

from repro import notebook
from repro.errors import ReproError

ROOT = Path(__file__).resolve().parents[1]


def test_a_dataset_is_loaded_by_name() -> None:
    dataset = notebook.load("digits", limit=50)
    assert dataset.images.shape == (50, 1, 8, 8)
    assert len(dataset.classes) == 10


def test_a_verdict_is_the_one_in_git() -> None:
    written = json.loads((ROOT / "reports/digits/verdicts.json").read_text(encoding="utf-8"))
    for claim in ("truong-24", "desanctis-08"):
        found = notebook.verdict(claim, root=ROOT)
        (expected,) = (v for v in written if v["id"] == claim)
        assert (found.verdict, found.n) == (expected["verdict"], expected["n"])
        assert found.estimate == pytest.approx(expected["estimate"], abs=1e-9)


def test_backdoored_models_of_the_tunings_seeds_stand_beside_their_floor() -> None:
    rows = notebook.backdoored("square", profile="tiny", poison_rate=0.6, count=2, root=ROOT)
    assert [row["partition_seed"] for row in rows] == [100001, 100002]
    assert [row["poison_rate"] for row in rows] == [0.6, 0.6]
    assert {row["architecture"] for row in rows} == {"mlp"}
    for row in rows:
        assert 0 <= float(str(row["clean_model_asr"])) < float(str(row["asr"])) <= 1


def test_an_unknown_name_is_one_line() -> None:
    with pytest.raises(ReproError, match="no entry 'prayer'"):
        notebook.backdoored("prayer", profile="tiny", root=ROOT)
    with pytest.raises(ReproError, match="unknown claim 'truong-99'"):
        notebook.verdict("truong-99", root=ROOT)
