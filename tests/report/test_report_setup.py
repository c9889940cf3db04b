"""The report's head and its table of departures: edition, weights, slice, what is left out, options of training."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from repro.harness.profile import DataSettings, load_profile
from repro.papers.truong2020.departures import departures
from repro.report import sections, setup
from repro.report.page import pages
from repro.report.report import Report

Make = Callable[..., Path]
PUBLISHED = ("resnet50", "nasnet_large", "nasnet_mobile")


def report_of(root: Path, **changes: Any) -> Report:
    """The report of profile ``digits`` with fields changed."""
    return Report(root, load_profile("digits", root).model_copy(update=changes))


def with_options(root: Path, options: dict[str, dict[str, Any]]) -> Report:
    training = load_profile("digits", root).training.model_copy(update={"options": options})
    return report_of(root, training=training)


@pytest.fixture
def root(project: Make) -> Path:
    every = ("poison_statistics", "trigger_by_model", "regularisers", "tuning", "sources")
    return project(units=2, without=(*every, "transparency", "poison_rate", "exposure", "targeted"))


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    (tmp_path / "params.yaml").write_text("profile: digits\nseeds: {evidence: 1, tuning: 100001}\n")
    return tmp_path


def head(report: Report) -> str:
    return "\n".join(setup.head(report))


def test_the_head_names_the_edition_that_the_evidence_was_made_on(root: Path) -> None:
    path = root / "reports" / "digits" / "evidence" / "membership_metric.provenance.json"
    content = json.loads(path.read_text())
    content["data"] = {"name": "cifar10_jpeg", "variant": "JPEG copy, 5000 of 60000 images"}
    path.write_text(json.dumps(content))
    assert "Data: cifar10\\_jpeg, JPEG copy, 5000 of 60000 images." in head(report_of(root))
    other = path.with_name("sources.provenance.json")
    other.write_text(json.dumps({"data": {"name": "cifar10_jpeg", "variant": "JPEG copy"}}))
    assert "JPEG copy (`sources`)" in head(report_of(root))
    assert "5000 of 60000 images (`membership_metric`)" in head(report_of(root))


def test_without_evidence_the_head_says_that_no_edition_is_known(empty: Path) -> None:
    limited = report_of(empty, data=DataSettings(name="digits", limit=1000))
    assert "Data: digits, 1,000 images; no evidence names its edition yet." in head(limited)


@pytest.mark.parametrize(
    ("pretrained", "wanted"),
    [
        ({}, "**random weights**, not from published ones"),
        ({"mlp": False}, "**random weights**, not from published ones"),
        ({"mlp": True, "cnn": True, "cnn_bn": True}, "**published weights**, trained on other data"),
        (
            {"cnn": True},
            "**published weights** (CNN), as in the paper, and **random weights** (MLP and CNN+BN)",
        ),
    ],
)
def test_where_weights_come_from_is_said_in_so_many_words(empty: Path, pretrained: Any, wanted: str) -> None:
    report = report_of(empty, pretrained=pretrained)
    assert f"Models start from {wanted}" in head(report)
    row = next(line for line in departures(report)[1].splitlines() if line.startswith("| Architectures"))
    assert ("from published weights" in row) == ("published weights**" in wanted)
    assert ("from random weights" in row) == ("**random weights**" in wanted)


def test_a_slice_says_what_it_is_a_slice_of_and_what_is_left_out(root: Path) -> None:
    left_out = {"exposure": "one unit alone takes 9 h", "new_one": "no data"}
    found = pages(report_of(root, slice_of="flowers", leaves_out=left_out))
    first = found["README.md"].split("## ")[0]
    assert "**A slice of profile `flowers`**" in first
    assert "not the whole of it" in first
    assert "(setup.md#left-out)" in first
    listed = found["setup.md"].split("## Left out")[1].split("## ")[0]
    assert "- [exposure](experiments/exposure.md): one unit alone takes 9 h." in listed
    own = found["experiments/exposure.md"]
    assert "*Left out of this profile: one unit alone takes 9 h.*" in own
    assert "No evidence yet" not in own
    assert "experiments/new_one.md" in found, "an experiment of no profile but this one's reasons"


def test_a_whole_profile_is_called_no_slice(root: Path) -> None:
    text = head(report_of(root))
    assert "slice" not in text
    assert "Left out" not in text
    assert "## Left out" not in pages(report_of(root))["setup.md"]


def test_evidence_of_an_experiment_left_out_is_not_shown(root: Path) -> None:
    report = report_of(root, leaves_out={"membership_metric": "why not"})
    assert "membership_metric" in report.tables
    blocks = sections.section_blocks(report, "membership_metric")
    assert blocks[1:] == ["*Left out of this profile: why not.*"]


def test_tuning_left_out_is_not_passed_off_as_the_source_of_weights(empty: Path) -> None:
    rule = "by a rule fixed beforehand"
    assert rule in departures(report_of(empty))[1]
    without = departures(report_of(empty, leaves_out={"tuning": "too long"}))[1]
    assert rule not in without
    assert "their tuning is left out here" in without


def test_training_options_are_among_the_departures_and_augmentation_touches_the_trigger(empty: Path) -> None:
    plain = {"precision": "bf16", "compile": True}
    given = {"mlp": plain, "cnn": plain, "cnn_bn": {"augmentation": "flip_crop", "precision": "bf16"}}
    text = departures(with_options(empty, given))[1]
    (row,) = (line for line in text.splitlines() if line.startswith("| Training options"))
    assert "MLP and CNN: compile yes; precision bf16" in row
    assert "CNN+BN: augmentation flip\\_crop; precision bf16" in row
    assert "and so on the trigger" in row
    without = departures(with_options(empty, {"mlp": plain | {"augmentation": "none"}}))[1]
    assert "and so on the trigger" not in without
    assert "Training options" not in departures(report_of(empty))[1]


@pytest.mark.parametrize(
    ("data", "architectures", "wanted"),
    [
        ("digits", ("mlp",), "neither the papers' data nor their architectures"),
        ("digits", ("resnet50",), "other data than the papers'."),
        ("flowers224", ("mlp",), "other architectures than the papers'"),
        (
            "cifar10_jpeg",
            PUBLISHED,
            "an edition of the paper's CIFAR-10 and ResNet-50, NASNet and NASNet-Mobile",
        ),
    ],
)
def test_what_data_and_models_have_in_common_with_the_paper_is_said(
    empty: Path, data: str, architectures: tuple[str, ...], wanted: str
) -> None:
    profile = load_profile("digits", empty)
    rates = dict.fromkeys(architectures, 0.001)
    report = report_of(
        empty,
        data=DataSettings(name=data),
        architectures=list(architectures),
        training=profile.training.model_copy(update={"learning_rate": rates}),
        retraining=profile.retraining.model_copy(update={"learning_rate": rates}),
    )
    assert wanted in departures(report)[0]
