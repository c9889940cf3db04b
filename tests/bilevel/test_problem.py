"""One problem for three objectives: its value against a plain training, its gradient against retraining."""

from dataclasses import replace

import pytest
import torch
from problems import CLEAN, INNER, POISONS, SHAPE, TARGETS, K, drawn, problem, trained_plainly
from torch.nn.functional import cross_entropy

from repro.bilevel.objectives import Objective, accuracy_degradation, backdoor, targeted_misclassification

TEST = drawn(3, TARGETS)
TARGET_CLASS = torch.tensor([0, 1, 2])
MASK = torch.tensor([1.0, 1.0, 0.0]).double()
OBJECTIVES = {
    "accuracy_degradation": accuracy_degradation(TEST.images, TEST.labels),
    "targeted_misclassification": targeted_misclassification(TEST.images[:, :2], TARGET_CLASS),
    "backdoor": backdoor(TEST.images, torch.ones(SHAPE).double(), MASK, 0.7, TARGET_CLASS),
}


@pytest.fixture(params=OBJECTIVES.values(), ids=OBJECTIVES)
def objective(request: pytest.FixtureRequest) -> Objective:
    found: Objective = request.param
    return found


def test_the_value_is_the_objective_of_a_plainly_trained_model(objective: Objective) -> None:
    poison, clean = drawn(2, POISONS), drawn(1, CLEAN)
    values = problem(objective).value(poison)
    for k in range(K):
        images = torch.cat([clean.images[k], poison.images[k]])
        labels = torch.cat([clean.labels[k], poison.labels[k]])
        theta = trained_plainly(images, labels, INNER.regularisation)
        logits = objective.inputs[k].flatten(1) @ theta[:-1] + theta[-1]
        plain = objective.sign * cross_entropy(logits, objective.labels[k], reduction="sum")
        torch.testing.assert_close(values[k], plain, rtol=1e-6, atol=1e-7)


def test_the_gradient_is_the_slope_of_retraining(objective: Objective) -> None:
    poison = drawn(2, POISONS)
    whole = problem(objective)
    slope = whole.gradient(poison)
    direction = torch.randn(
        poison.images.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(5)
    )
    distance = 1e-4
    ahead, behind = (
        whole.value(replace(poison, images=poison.images + sign * distance * direction)) for sign in (1, -1)
    )
    computed = (slope.gradient * direction).flatten(1).sum(1)
    torch.testing.assert_close(computed, (ahead - behind) / (2 * distance), rtol=1e-5, atol=1e-8)
    torch.testing.assert_close(slope.value, whole.value(poison))
    torch.testing.assert_close(whole.attained(slope.theta), slope.value)


def test_a_start_changes_neither_value_nor_gradient(objective: Objective) -> None:
    poison, whole = drawn(2, POISONS), problem(objective)
    near = whole.gradient(drawn(4, POISONS)).theta
    cold, warm = whole.gradient(poison), whole.gradient(poison, near)
    for one, other in zip(cold, warm, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-8)


def test_the_gradient_leaves_no_graph_behind() -> None:
    poison = drawn(2, POISONS)
    assert not any(part.requires_grad for part in problem().gradient(poison))
    assert not poison.images.requires_grad
    assert not problem().value(poison).requires_grad
