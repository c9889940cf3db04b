"""A slice is a valid profile of its own that says only what differs; whatever is impossible leaves no file."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from repro.errors import ReproError
from repro.files import write_text
from repro.harness import profile as profiles
from repro.harness.profile import load_profile
from repro.harness.slices import write_slice


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_text(tmp_path / "params.yaml", "profile: digits\nseeds: {evidence: 1, tuning: 100001}\n")
    shutil.copytree(profiles.FOLDER, tmp_path / "profiles")
    monkeypatch.setattr(profiles, "FOLDER", tmp_path / "profiles")
    return tmp_path


def content(path: Path) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return read


def test_only_what_differs_is_written(root: Path) -> None:
    kept = ["tuning", "sources", "membership_metric"]
    path = write_slice(root, "tiny", "few", 2, 300, ["mlp"], kept)
    assert path == profiles.FOLDER / "few.yaml"
    left_out = set(load_profile("tiny", root).experiments) - set(kept)
    assert content(path) == {
        "title": "a slice of tiny: 300 images; mlp; experiments tuning, sources, membership_metric; at most 2 units",
        "slice_of": "tiny",
        "data": {"limit": 300},
        "architectures": ["mlp"],
        # Tuning has two, the metric has none.
        "experiments": {"sources": {"units": 2}},
        "leaves_out": dict.fromkeys(left_out, "not in this slice"),
    }


def test_a_slice_is_a_profile(root: Path) -> None:
    write_slice(root, "digits", "few", 20, 900, ["mlp"], ["regularisers", "sources"])
    whole, part = load_profile("digits", root), load_profile("few", root)
    assert (part.slice_of, part.data.limit, part.architectures) == ("digits", 900, ["mlp"])
    assert set(part.experiments) == {"regularisers", "sources"}
    assert set(part.leaves_out) == set(whole.experiments) - {"regularisers", "sources"}
    assert (part.settings("sources").units, part.settings("regularisers").units) == (20, 20)
    assert part.settings("sources").triggers == whole.settings("sources").triggers
    assert part.training == whole.training


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"units": 5}, "experiments"),
        ({"images": 500}, "data"),
        ({"architectures": ["mlp", "cnn_bn"]}, "architectures"),
        ({"experiments": ["tuning"]}, "leaves_out"),
    ],
)
def test_each_option_alone(root: Path, options: dict[str, Any], field: str) -> None:
    assert set(content(write_slice(root, "digits", "few", **options))) == {"title", "slice_of", field}


def test_without_the_architecture_of_the_poison_rates_another_takes_its_place(root: Path) -> None:
    written = content(write_slice(root, "digits", "few", architectures=["mlp", "cnn"], units=5))
    assert written["experiments"]["poison_rate"] == {"units": 5, "architecture": "mlp"}


@pytest.mark.parametrize(
    ("whole", "name", "options", "message"),
    [
        ("nope", "few", {"units": 5}, "unknown profile 'nope'"),
        ("digits", "../few", {"units": 5}, "--as '../few': a name of small letters"),
        ("digits", "Few", {"units": 5}, "--as 'Few': a name of small letters"),
        ("digits", "tiny", {"units": 5}, "--as tiny: repro/profiles/tiny.yaml is there already"),
        ("digits", "few", {}, "--as few: nothing to differ in"),
        ("digits", "few", {"units": 0}, "--units 0: must be from 1 to the 60 of profile digits"),
        ("digits", "few", {"units": 61}, "--units 61: must be from 1 to the 60 of profile digits"),
        (
            "digits",
            "few",
            {"units": 1, "experiments": ["membership_metric"]},
            "--units 1: membership_metric of profile digits counts no units",
        ),
        ("digits", "few", {"images": 199}, "--images 199: must be from 200 to the 1797 of profile digits"),
        ("digits", "few", {"images": 1798}, "--images 1798: must be from 200 to the 1797 of profile digits"),
        ("tiny", "few", {"images": 601}, "--images 601: must be from 200 to the 600 of profile tiny"),
        ("tiny", "few", {"architectures": ["cnn"]}, "--architectures: profile tiny has no cnn (it has mlp)"),
        ("tiny", "few", {"architectures": []}, "--architectures: none is named (it has mlp)"),
        # Each run would be trained, and stand in the evidence, twice.
        (
            "tiny",
            "few",
            {"architectures": ["mlp", "mlp"]},
            "--architectures: mlp, mlp: one of them is named twice",
        ),
        ("tiny", "few", {"experiments": ["nope"]}, "--experiments: profile tiny has no nope (it has "),
    ],
)
def test_the_impossible_leaves_no_file(
    root: Path, whole: str, name: str, options: dict[str, Any], message: str
) -> None:
    before = sorted(profiles.FOLDER.parent.rglob("*"))
    with pytest.raises(ReproError) as error:
        write_slice(root, whole, name, **options)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert sorted(profiles.FOLDER.parent.rglob("*")) == before


def test_what_the_loader_refuses_is_removed_again(root: Path) -> None:
    write_slice(root, "digits", "few", images=900)
    with pytest.raises(ReproError, match="slice_of: 'few' is a slice itself"):
        write_slice(root, "few", "fewer", images=500)
    assert not (profiles.FOLDER / "fewer.yaml").exists()
    assert (profiles.FOLDER / "few.yaml").exists()
