"""Accuracy and adversarial success rate: counted by hand, stacked, and on a diverged model's logits."""

import math

import pytest
import torch

from repro.metrics.classification import accuracy, success_rate

PREDICTED = torch.tensor([[0, 1, 2, 2], [1, 1, 1, 0]])
LOGITS = torch.nn.functional.one_hot(PREDICTED, 3).float()


def test_accuracy_is_the_share_predicted_as_labelled() -> None:
    labels = torch.tensor([[0, 1, 2, 0], [0, 0, 0, 0]])
    assert accuracy(LOGITS, labels).tolist() == [0.75, 0.25]
    assert accuracy(LOGITS, labels[0]).tolist() == [0.75, 0.5]
    assert accuracy(LOGITS, labels).dtype == torch.float64


def test_success_rate_is_the_share_predicted_as_each_members_poison_class() -> None:
    assert success_rate(LOGITS, 1).tolist() == [0.25, 0.75]
    assert success_rate(LOGITS, torch.tensor([2, 0])).tolist() == [0.5, 0.25]


def test_success_rate_counts_only_the_images_it_is_told_to() -> None:
    labels = torch.tensor([[0, 2, 2, 0], [1, 0, 2, 2]])
    poison_class = torch.tensor([2, 1])
    counted = labels != poison_class.unsqueeze(-1)
    assert success_rate(LOGITS, poison_class, counted).tolist() == [0.5, pytest.approx(2 / 3)]
    shared = torch.tensor([True, False, False, False])
    assert success_rate(LOGITS, 1, shared).tolist() == [0.0, 1.0]


def test_success_rate_of_no_image_is_undefined_for_that_member_alone() -> None:
    counted = torch.tensor([[False] * 4, [True] * 4])
    rates = success_rate(LOGITS, 1, counted).tolist()
    assert math.isnan(rates[0])
    assert rates[1] == 0.75


def test_logits_of_a_diverged_model_are_refused() -> None:
    broken = LOGITS.clone()
    broken[1, 2, 0] = math.nan
    with pytest.raises(ValueError, match="diverged"):
        accuracy(broken, PREDICTED)
    with pytest.raises(ValueError, match="diverged"):
        success_rate(broken, 1)
