"""Descriptions of encoders and exposed victims: what their ids stand for, which pieces they use, what they train on."""

from dataclasses import fields, replace
from typing import Any

import pytest

from repro.harness.runs import Data, Defence
from repro.papers.desanctis.victims.runs import Amplification, EncoderRun, ExposureRun
from repro.training.recipe import Recipe

DATA = Data("digits", 600)
RECIPE = Recipe(0.01, 16, 4)
ENCODER = EncoderRun("u0", DATA, 5, "mlp", RECIPE, 60, 120, 30)
DIRTY = Amplification("dirty_label", 5)
VICTIM = ExposureRun(
    "u0", DATA, 5, 3, "mlp", RECIPE, 60, 120, "scratch", (1, 4), DIRTY, Defence("margin", 1.0), 30
)
OTHERWISE: dict[str, Any] = {
    "unit": "u1",
    "data": Data("digits", 500),
    "seed": 6,
    "target_class": 4,
    "architecture": "cnn",
    "recipe": Recipe(0.01, 16, 5),
    "members": 61,
    "nonmembers": 121,
    "victim": "frozen",
    "checkpoints": (4,),
    "attack": Amplification("dirty_label", 5, {"x": 1}),
    "defence": Defence("margin", 1.0, {"alpha": 0.3}),
    "validation": 0,
}


@pytest.mark.parametrize("run", [ENCODER, VICTIM], ids=["encoder", "victim"])
def test_an_id_stands_for_every_field(run: EncoderRun | ExposureRun) -> None:
    changed = [replace(run, **{field.name: OTHERWISE[field.name]}).id for field in fields(run)]
    assert len({run.id, *changed}) == len(changed) + 1
    assert replace(run).id == run.id


def test_pieces_are_those_whose_code_decides_the_outcome() -> None:
    data, mlp = ("dataset", "digits"), ("architecture", "mlp")
    assert ENCODER.pieces() == {data, mlp, ("defence", "none")}
    assert VICTIM.pieces() == {data, mlp, ("defence", "margin"), ("attack", "dirty_label")}
    assert replace(VICTIM, attack=None).pieces() == {data, mlp, ("defence", "margin")}


def test_an_epoch_is_over_the_pool_or_over_members_and_poisons() -> None:
    assert ENCODER.epoch_images(600) == 600 - 60 - 120 - 30
    assert ENCODER.epoch_images(100) == 0
    assert VICTIM.epoch_images(600) == 65
    assert replace(VICTIM, attack=None).epoch_images(600) == 60
