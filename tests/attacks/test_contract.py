"""Attacks that add poisons keep the contract of `repro.attacks`, each for every attacker by itself."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from repro import plugins
from repro.attacks import Poisons, Scene

ADDING = [name for name in plugins.names("attack") if plugins.literal("attack", name, "DRAWS_FROM", None)]
OPTIONS: dict[str, dict[str, Any]] = {"feature_collision": {"beta": 1.0, "step": 1.0, "iterations": 3}}
LABELS = torch.arange(200) % 4
IMAGES = torch.rand(200, 3, 3, 1, generator=torch.Generator().manual_seed(0))
SCENE = Scene(
    labels=LABELS,
    classes=4,
    pools=torch.stack([torch.arange(100, 200), torch.arange(100, 200).flip(0)]),
    members=torch.stack([torch.arange(50), torch.arange(50, 100)]),
    target_classes=[1, 2],
    seeds=[5, 6],
    images=lambda indices: IMAGES[indices],
    features=lambda images: images.flatten(2)[..., :4],
)


def poisons(name: str, scene: Scene, budget: int = 7) -> Poisons:
    made: Poisons = plugins.load("attack", name).poison(scene, budget, **OPTIONS.get(name, {}))
    return made


def given(made: Poisons) -> list[torch.Tensor]:
    return [part for part in (made.labels, made.indices, made.images) if part is not None]


@pytest.mark.parametrize("name", ADDING)
def test_labels_come_with_images_of_the_dataset_or_with_new_ones(name: str) -> None:
    made = poisons(name, SCENE)
    assert made.labels.shape == (2, 7)
    assert made.labels.dtype == torch.int64
    assert (made.indices is None) != (made.images is None)
    if made.indices is not None:
        assert made.indices.shape == (2, 7)
        assert torch.isin(made.indices, SCENE.pools).all()
    if made.images is not None:
        assert made.images.shape == (2, 7, 3, 3, 1)
        assert made.images.min() >= 0
        assert made.images.max() <= 1


@pytest.mark.parametrize("name", ADDING)
def test_an_attacker_depends_on_its_own_scene_alone(name: str) -> None:
    both = given(poisons(name, SCENE))
    for k in range(2):
        alone = replace(
            SCENE,
            pools=SCENE.pools[k : k + 1],
            members=SCENE.members[k : k + 1],
            target_classes=SCENE.target_classes[k : k + 1],
            seeds=SCENE.seeds[k : k + 1],
        )
        for part, own in zip(both, given(poisons(name, alone)), strict=True):
            torch.testing.assert_close(part[k : k + 1], own)


@pytest.mark.parametrize("name", ADDING)
def test_another_seed_draws_other_poisons(name: str) -> None:
    one, other = (given(poisons(name, replace(SCENE, seeds=seeds))) for seeds in ([5, 6], [7, 8]))
    assert not all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("name", ADDING)
def test_images_are_drawn_from_the_classes_that_it_states(name: str) -> None:
    drawn: list[torch.Tensor] = []

    def images(indices: torch.Tensor) -> torch.Tensor:
        drawn.append(indices)
        return IMAGES[indices]

    made = poisons(name, replace(SCENE, images=images))
    bases = made.indices if made.indices is not None else drawn[0]
    of_target = LABELS[bases] == torch.tensor(SCENE.target_classes)[:, None]
    source = plugins.literal("attack", name, "DRAWS_FROM", None)
    assert of_target.all() if source == "the target class" else not of_target.any()
