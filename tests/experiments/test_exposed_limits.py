"""What a profile cannot have of membership exposure is refused before anything is trained, in one line."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from repro.errors import ReproError
from repro.harness.runs import Data
from repro.papers.desanctis.victims.experiment import _affordable
from repro.papers.desanctis.victims.runs import Amplification, ExposureRun
from repro.training.recipe import Recipe

PROFILE: Any = SimpleNamespace(name="made", classes=lambda: 10)
RUN = ExposureRun(
    "u0", Data("digits", 600), 1, 0, "mlp", Recipe(0.01, 32, 2), 60, 120, "scratch", (2,), validation=20
)  # a pool of 400, 360 of them of other classes


@pytest.mark.parametrize(
    ("attack", "most", "has"),
    [
        ("feature_collision", 324, "360 images of other classes"),
        ("dirty_label", 36, "40 images of the target class"),
    ],
)
def test_poisons_need_images_of_the_classes_that_the_attack_draws_from(
    attack: str, most: int, has: str
) -> None:
    _affordable(PROFILE, "exposure", replace(RUN, attack=Amplification(attack, most)))
    line = rf"^profile made: experiments.exposure.attacks.{attack}: {most + 1} poisons, .* about {has}$"
    with pytest.raises(ReproError, match=line):
        _affordable(PROFILE, "exposure", replace(RUN, attack=Amplification(attack, most + 1)))


@pytest.mark.parametrize("field", ["members", "nonmembers"])
def test_every_class_needs_members_and_nonmembers(field: str) -> None:
    _affordable(PROFILE, "exposure", replace(RUN, **{field: 50}))
    with pytest.raises(ReproError, match=rf"experiments.exposure.{field}: 49 images of 10 classes"):
        _affordable(PROFILE, "exposure", replace(RUN, **{field: 49}))
