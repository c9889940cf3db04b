"""Defences in training as their own pieces say them: against PyTorch's own, and those that draw in whole trainings."""

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest
import torch
import torch.nn.functional as F
from plain_defences import BOUNDED, DEFENCES, DRAWS, OPTIONS, START_OF_BETA, slow_crl
from plain_loop import PlainModel
from torch import Tensor

from repro import plugins
from repro.defences import crl, label_smoothing, weight_decay
from repro.errors import ReproError
from repro.losses import Batch
from repro.losses.terms import cross_entropy
from repro.seeds import stream


def batch_of(seed: int = 0, members: int = 3, size: int = 10, classes: int = 4, draw: float = 0.7) -> Batch:
    g = torch.Generator().manual_seed(seed)
    hidden = torch.randn(members, size, 6, generator=g, dtype=torch.float64).relu()
    head = torch.randn(members, 6, classes, generator=g, dtype=torch.float64)
    labels = torch.randint(0, classes, (members, size), generator=g)
    draws = torch.full((members, size, 1), draw, dtype=torch.float64)
    parameters = {"head.weight": head, "0.weight": head * 2, "defence.beta": head[:, 0, 0]}
    return Batch(hidden, hidden @ head, labels, draws, parameters)


def test_numbers_drawn_and_parameters_learnt_are_those_of_the_oracles() -> None:
    for defence in plugins.names("defence"):
        assert plugins.literal("defence", defence, "DRAWS", 0) == DRAWS.get(defence, 0)
        assert hasattr(plugins.load("defence", defence), "learned") == (defence in BOUNDED)


@pytest.mark.parametrize("defence", [d for d in DEFENCES if d in OPTIONS])
def test_options_are_the_pieces_own(defence: str) -> None:
    assert OPTIONS[defence].keys() == plugins.options("defence", defence).keys()


@pytest.mark.parametrize("defence", [d for d in DEFENCES if d in OPTIONS])
def test_options_may_be_tensors_as_the_engine_for_large_networks_hands_them_over(defence: str) -> None:
    piece = plugins.load("defence", defence)
    b = batch_of()
    b = replace(b, draws=b.draws.expand(-1, -1, 2))
    if defence in BOUNDED:
        b.parameters["defence.beta"] = torch.full((3,), START_OF_BETA, dtype=torch.float64)
    weights = torch.full((3,), 0.4, dtype=torch.float64)
    sent = {name: torch.tensor(value, dtype=torch.float64) for name, value in OPTIONS[defence].items()}
    torch.testing.assert_close(piece.loss(b, weights, **sent), piece.loss(b, weights, **OPTIONS[defence]))


def test_label_smoothing_is_pytorchs() -> None:
    b = batch_of()
    weights = torch.tensor([0.0, 0.1, 0.7], dtype=torch.float64)
    expected = [
        F.cross_entropy(b.logits[k], b.labels[k], label_smoothing=float(w)) for k, w in enumerate(weights)
    ]
    torch.testing.assert_close(label_smoothing.loss(b, weights), torch.stack(expected))


def test_weight_decay_adds_to_the_gradient_what_pytorchs_optimisers_add() -> None:
    b = batch_of()
    own = {name: p.clone().requires_grad_() for name, p in b.parameters.items()}
    weights = torch.tensor([0.0, 0.1, 2.0], dtype=torch.float64)
    loss = weight_decay.loss(Batch(b.hidden, b.logits, b.labels, b.draws, own), weights)
    loss.sum().backward()
    for name, parameter in own.items():
        if name == "defence.beta":
            assert parameter.grad is None
        else:
            torch.testing.assert_close(parameter.grad, weights.reshape(-1, 1, 1) * parameter.detach())
    assert loss[0] == cross_entropy(b.logits, b.labels)[0]


def test_weight_decay_that_sees_only_the_head_is_refused() -> None:
    b = batch_of()
    head = {name: p for name, p in b.parameters.items() if not name.startswith("0.")}
    with pytest.raises(ReproError, match="weight_decay: for architectures of the engine stacked"):
        weight_decay.loss(Batch(b.hidden, b.logits, b.labels, b.draws, head), torch.ones(3))


def crl_loss(b: Batch, level: float, **options: float) -> Tensor:
    return crl.loss(b, torch.full((3,), level).double(), **(crl.OPTIONS | options))


@pytest.mark.parametrize("draw", [0.0, 0.499, 0.5, 0.99])
@pytest.mark.parametrize("level", [0.0, 0.9, 1.3, 5.0])
@pytest.mark.parametrize("centre_level", [0.0, 0.3, 2.0])
def test_crl_is_its_phases_written_as_branches(
    draw: float, level: float, centre_level: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(OPTIONS["crl"], "centre_level", centre_level)
    b = batch_of(seed=3, draw=draw)
    found = crl_loss(b, level, **OPTIONS["crl"])
    for k in range(3):
        logits_there = cast(PlainModel, SimpleNamespace(head=lambda hidden, k=k: b.logits[k]))
        expected = slow_crl(level)(logits_there, b.hidden[k], b.labels[k], b.draws[k])
        torch.testing.assert_close(found[k], expected)


def test_crl_drives_a_fit_below_its_level_back_up_in_one_phase_and_flattens_it_in_the_other() -> None:
    for draw, sign in ((0.2, -1), (0.8, 1)):
        b = batch_of(draw=draw)
        logits = torch.zeros(3, 10, 4, dtype=torch.float64).scatter(2, b.labels.unsqueeze(2), 30.0)
        z = logits.requires_grad_()
        loss = crl_loss(
            Batch(b.hidden, z, b.labels, b.draws, b.parameters), 1.0, centre_weight=0, ceiling=0.5
        )
        (slope,) = torch.autograd.grad(loss.sum(), z)
        own = slope.take_along_dim(b.labels.unsqueeze(2), 2)
        assert (own > 0).all()
        entropy = cross_entropy(crl._bounded(z.detach(), 0.1), b.labels)
        assert (entropy < 1).all()
        if sign < 0:
            torch.testing.assert_close(loss, 1 - entropy)
        else:
            assert (loss > entropy + math.log(2)).all()


def test_crl_pulls_representations_to_centres_that_are_the_same_for_everyone() -> None:
    drawn = crl.centres(4, 6, torch.device("cpu"), torch.float64)
    assert torch.equal(drawn.float(), torch.randn(4, 6, generator=stream(0, "crl-centres")))
    assert drawn is crl.centres(4, 6, torch.device("cpu"), torch.float64)
    assert not torch.equal(drawn, crl.centres(4, 7, torch.device("cpu"), torch.float64)[:, :6])
    b = batch_of()
    at_centres = Batch(drawn[b.labels], b.logits, b.labels, b.draws, b.parameters)
    options = {"centre_level": 0.0, "centre_weight": 1.0}
    without = crl_loss(at_centres, 0.0, **(options | {"centre_weight": 0.0}))
    torch.testing.assert_close(
        crl_loss(Batch(drawn[b.labels] * 1.001, b.logits, b.labels, b.draws, {}), 0.0, **options),
        without,
        rtol=0,
        atol=1e-6,
    )
    assert (crl_loss(b, 0.0, **options) > without + 0.1).all()


def test_crl_has_finite_gradients_at_rows_of_zeros() -> None:
    for draw in (0.2, 0.8):
        b = batch_of(draw=draw)
        h = (b.hidden * 0).requires_grad_()
        z = (b.logits * 0).requires_grad_()
        for level in (0.0, 9.0):
            loss = crl_loss(Batch(h, z, b.labels, b.draws, b.parameters), level, centre_level=level)
            for slope in torch.autograd.grad(loss.sum(), (h, z)):
                assert slope.isfinite().all()


def test_crl_tosses_a_coin_for_each_member() -> None:
    b = batch_of()
    b.draws[1] = 0.1
    levels = torch.full((3,), 5.0, dtype=torch.float64)
    found = crl.loss(b, levels, **crl.OPTIONS)
    for k, draw in enumerate((0.7, 0.1, 0.7)):
        same = batch_of(draw=draw)
        torch.testing.assert_close(found[k], crl.loss(same, levels, **crl.OPTIONS)[k])
    assert not torch.isclose(found[1], crl.loss(batch_of(), levels, **crl.OPTIONS)[1])
