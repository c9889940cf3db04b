"""Solvers of one problem: what they may change, that the objective falls, and what they find where that is known."""

from dataclasses import replace
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import CLASSES, POISONS, TARGETS, drawn, member, problem
from torch import Tensor

from repro.attacks.feature_collision import collide
from repro.bilevel.objectives import targeted_misclassification
from repro.bilevel.problem import Problem, Solver
from repro.bilevel.solvers import FeatureCollision, GradientDescent, LabelFlip

TEST = drawn(3, TARGETS)
TARGET_CLASS = torch.tensor([0, 1, 2])
TARGETED = problem(targeted_misclassification(TEST.images[:, :3], TARGET_CLASS))


def flat(images: Tensor) -> Tensor:
    return images.flatten(2)


@settings(max_examples=15, deadline=None)
@given(
    st.integers(0, 10**6),
    st.sampled_from([problem(), TARGETED]),
    st.sampled_from([0.01, 0.3, 50.0]),
    st.sampled_from([None, 0.1]),
)
def test_descent_never_raises_the_objective_nor_leaves_its_bounds(
    seed: int, whole: Problem, step: float, radius: float | None
) -> None:
    start = drawn(seed, POISONS)
    solved = GradientDescent(4, step, radius).solve(whole, start)
    assert (whole.value(solved) <= whole.value(start) + 1e-9).all()
    assert torch.equal(solved.labels, start.labels)
    assert 0 <= float(solved.images.min()) <= float(solved.images.max()) <= 1
    moved = (solved.images - start.images).abs().max()
    assert float(moved) <= (1 if radius is None else radius + 1e-12)


def test_descent_lowers_every_problems_objective() -> None:
    start = drawn(2, POISONS)
    before, after = (
        TARGETED.value(poison) for poison in (start, GradientDescent(10, 0.5).solve(TARGETED, start))
    )
    assert (after < before - 0.2).all()


def test_the_first_step_follows_the_gradient_with_its_steepest_pixel_one_step_long() -> None:
    start = replace(drawn(2, POISONS), images=torch.full_like(drawn(2, POISONS).images, 0.5))
    gradient = TARGETED.gradient(start).gradient
    moved = GradientDescent(1, 0.01).solve(TARGETED, start).images - start.images
    steepest = gradient.flatten(1).abs().amax(1)[:, None, None, None, None]
    torch.testing.assert_close(moved, -0.01 * gradient / steepest)


def test_a_step_too_long_is_halved_until_it_helps() -> None:
    """From where whole steps of that length, into a corner, hardly help any more."""
    near = GradientDescent(3, 0.3).solve(TARGETED, drawn(2, POISONS))
    after = TARGETED.value(GradientDescent(30, 1e3).solve(TARGETED, near))
    assert (after < TARGETED.value(near) - 0.1).all()


def test_descent_takes_each_problem_by_itself() -> None:
    start = drawn(2, POISONS)
    stacked = GradientDescent(5, 0.5).solve(TARGETED, start)
    for k in range(3):
        alone = Problem(
            targeted_misclassification(TEST.images[k : k + 1, :3], TARGET_CLASS[k : k + 1]),
            TARGETED.inner,
            member(TARGETED.clean, k),
        )
        own = GradientDescent(5, 0.5).solve(alone, member(start, k))
        torch.testing.assert_close(own.images[0], stacked.images[k], atol=1e-7, rtol=0)


@pytest.mark.parametrize("whole", [problem(), TARGETED], ids=["degradation", "targeted"])
def test_flipping_one_label_finds_the_best_of_all(whole: Problem) -> None:
    start = drawn(2, 1)
    solved = LabelFlip(CLASSES).solve(whole, start)
    values = [whole.value(replace(start, labels=torch.full_like(start.labels, c))) for c in range(CLASSES)]
    torch.testing.assert_close(whole.value(solved), torch.stack(values).amin(0))
    assert torch.equal(solved.images, start.images)


def test_flipping_labels_goes_poison_by_poison_and_never_raises_the_objective() -> None:
    start, whole = drawn(2, POISONS), problem()
    solved = LabelFlip(CLASSES).solve(whole, start)
    value = whole.value(solved)
    assert (value < whole.value(start)).all()
    last = solved.labels.clone()
    for label in range(CLASSES):
        last[:, -1] = label
        assert (whole.value(replace(solved, labels=last)) >= value - 1e-9).all()
    best = [
        whole.value(replace(start, labels=torch.tensor(labels).expand_as(start.labels)))
        for labels in product(range(CLASSES), repeat=POISONS)
    ]
    assert (value >= torch.stack(best).amin(0) - 1e-9).all()


def test_colliding_pairs_each_poison_with_a_target_in_turn() -> None:
    start = drawn(2, POISONS)
    solved = FeatureCollision(flat, beta=0.5, step=1.0, iterations=20).solve(TARGETED, start)
    targets = TEST.images[:, [0, 1, 2, 0]]
    plain = collide(flat, start.images, targets, beta=0.5, step=1.0, iterations=20)
    assert torch.equal(solved.images, plain)
    assert torch.equal(solved.labels, start.labels)
    assert (flat(solved.images - targets).norm(dim=-1) < flat(start.images - targets).norm(dim=-1)).all()


def test_a_collision_with_the_right_label_serves_the_targeted_objective() -> None:
    start = replace(drawn(2, POISONS), labels=TARGET_CLASS[:, None].expand(3, POISONS))
    solved = FeatureCollision(flat, beta=0.0, step=1.0, iterations=20).solve(TARGETED, start)
    assert TARGETED.value(solved).mean() < TARGETED.value(start).mean() - 0.2


@pytest.mark.parametrize(
    "solver", [GradientDescent(2, 0.1), LabelFlip(CLASSES), FeatureCollision(flat, 1.0, 1.0, 2)]
)
def test_every_solver_solves_the_same_problem(solver: Solver) -> None:
    start = drawn(2, POISONS)
    images, labels = start.images.clone(), start.labels.clone()
    solved = solver.solve(TARGETED, start)
    assert solved.images.shape == start.images.shape
    assert solved.labels.shape == start.labels.shape
    assert torch.equal(start.images, images)
    assert torch.equal(start.labels, labels)
    assert TARGETED.value(solved).isfinite().all()
