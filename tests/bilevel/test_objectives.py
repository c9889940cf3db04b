"""The three objectives against the document's sums written out, and the trigger against the one that attacks use."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from repro import triggers
from repro.bilevel.objectives import accuracy_degradation, backdoor, stamped, targeted_misclassification

K, T, CLASSES = 2, 5, 4
TARGET_CLASS = torch.tensor([1, 3])


def cross_entropy_plainly(logits: Tensor, label: int) -> float:
    return -math.log(math.exp(logits[label]) / sum(math.exp(z) for z in logits))


@pytest.fixture
def images() -> Tensor:
    return torch.rand(K, T, 2, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_values_are_the_documents_sums(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(K, T, 1, 2, 2, generator=generator)
    labels = torch.randint(CLASSES, (K, T), generator=generator)
    logits = 4 * torch.randn(K, T, CLASSES, dtype=torch.float64, generator=generator)
    degraded = accuracy_degradation(images, labels).value(logits)
    targeted = targeted_misclassification(images, TARGET_CLASS).value(logits)
    mask = torch.zeros(1, 1, 2, 2)
    backdoored = backdoor(images, images, mask, 0.5, TARGET_CLASS).value(logits)
    for k in range(K):
        away = sum(-cross_entropy_plainly(logits[k, i], int(labels[k, i])) for i in range(T))
        towards = sum(cross_entropy_plainly(logits[k, i], int(TARGET_CLASS[k])) for i in range(T))
        assert degraded[k].item() == pytest.approx(away, rel=1e-12)
        assert targeted[k].item() == pytest.approx(towards, rel=1e-12)
        assert backdoored[k].item() == pytest.approx(towards, rel=1e-12)


def test_success_is_what_each_attacker_wants(images: Tensor) -> None:
    read = torch.tensor([[1, 1, 1, 0, 2], [3, 0, 0, 0, 0]])
    labels = torch.tensor([[1, 1, 0, 0, 2], [0, 0, 0, 0, 0]])
    logits = torch.nn.functional.one_hot(read, CLASSES).double()
    assert accuracy_degradation(images, labels).success(logits).tolist() == [0.2, 0.2]
    assert targeted_misclassification(images, TARGET_CLASS).success(logits).tolist() == [0.6, 0.2]


def test_only_a_backdoor_changes_its_inputs(images: Tensor) -> None:
    trigger, mask = torch.ones(1, 1, 3, 3).double(), torch.ones(1, 1, 3, 3).double()
    mask[..., 1:, 1:] = 0
    attack = backdoor(images, trigger, mask, 1.0, TARGET_CLASS)
    assert torch.equal(accuracy_degradation(images, torch.zeros(K, T, dtype=torch.long)).inputs, images)
    assert torch.equal(targeted_misclassification(images, TARGET_CLASS).inputs, images)
    assert (attack.inputs[..., 1:, 1:] == 1).all()
    assert torch.equal(attack.inputs[..., 0, :], images[..., 0, :])
    assert attack.labels.tolist() == [[1] * T, [3] * T]


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_stamping_is_the_blend_of_the_backdoor_attacks(alpha: float, images: Tensor) -> None:
    generator = np.random.default_rng(0)
    trigger = generator.uniform(-1, 2, (1, 1, 3, 3)).astype(np.float32)
    mask = (generator.random((1, 1, 3, 3)) < 0.5).astype(np.float32)
    plain = triggers.blend(images[0].float().numpy(), trigger, mask, alpha)
    ours = stamped(images[:1].float(), torch.from_numpy(trigger), torch.from_numpy(mask), alpha)
    np.testing.assert_allclose(ours[0].numpy(), plain, atol=1e-6)
    assert 0 <= float(ours.min()) <= float(ours.max()) <= 1


@pytest.mark.parametrize("alpha", [-0.1, 1.1])
def test_transparency_outside_its_range_is_refused(alpha: float, images: Tensor) -> None:
    with pytest.raises(ValueError, match="alpha"):
        stamped(images, images, torch.zeros(1), alpha)
