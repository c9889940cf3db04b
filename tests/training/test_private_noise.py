"""What private training costs: its noise and sampling, in bands of five standard errors, epsilon and accuracy."""

from collections.abc import Sequence
from dataclasses import replace
from math import exp, inf, log
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_private import CLIP, MULTIPLIERS, RECIPE, privately
from side_by_side import setting
from torch import Tensor

from repro.training import compiled
from repro.training.fleet import predict
from repro.training.private import epsilon, poisson
from repro.training.recipe import Recipe


def gradients_by_step(monkeypatch: pytest.MonkeyPatch, multipliers: Sequence[float]) -> Tensor:
    """What the stacked optimiser is given at each step, (K, steps, parameters), at a learning rate of 0."""
    given_to: list[Tensor] = []

    class Recording(torch.optim.Adam):
        def step(self, closure: Any = None) -> Any:
            own = [p.grad.flatten(1) for group in self.param_groups for p in group["params"]]
            given_to.append(torch.cat(own, 1))
            return super().step(closure)

    with monkeypatch.context() as patch:
        patch.setattr(torch.optim, "Adam", Recording)
        patch.setattr(compiled, "serves", lambda stack: False)
        s = setting()
        privately(s, s.stack("mlp"), replace(RECIPE, learning_rate=0.0), multipliers=multipliers)
    return torch.stack(given_to, 1)


@pytest.mark.parametrize("clip", [0.7, 1e-3])
def test_the_kernel_adds_the_same_noise_to_the_same_sums(
    monkeypatch: pytest.MonkeyPatch, clip: float
) -> None:
    s = setting()
    own, _ = privately(s, s.stack("mlp"), clip=clip)
    with monkeypatch.context() as patch:
        patch.setattr(compiled, "serves", lambda stack: False)
        stacked, _ = privately(s, s.stack("mlp"), clip=clip)
    for name, tensor in stacked.state().items():
        torch.testing.assert_close(own.state()[name], tensor, rtol=1e-8, atol=1e-10)


def test_the_noise_is_normal_with_each_members_own_deviation_and_independent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    noisy = gradients_by_step(monkeypatch, MULTIPLIERS)
    added = (noisy - gradients_by_step(monkeypatch, [0.0] * 4)) * RECIPE.batch_size / CLIP
    assert (added[0] == 0).all()
    members, steps, count = added.shape
    assert steps == 2 * (140 // 32)
    standard = added[1:] / torch.tensor(MULTIPLIERS[1:]).view(-1, 1, 1)
    n = steps * count
    means, deviations = standard.mean((1, 2)), standard.std((1, 2))
    assert (means.abs() < 5 / n**0.5).all()
    assert ((deviations - 1).abs() < 5 / (2 * n) ** 0.5).all()
    # The fourth moment of a standard normal number is 3, and has the variance 96.
    assert ((standard.pow(4).mean((1, 2)) - 3).abs() < 5 * (96 / n) ** 0.5).all()
    correlations = torch.corrcoef(standard.reshape((members - 1) * steps, count))
    assert (correlations - torch.eye(len(correlations))).abs().max() < 5 / count**0.5


def test_every_sample_is_drawn_at_the_rate_independently() -> None:
    members, steps, samples, rate = 3, 2000, 50, 0.2
    generators = [torch.Generator().manual_seed(seed) for seed in range(members)]
    drawn = poisson(generators, steps, samples, rate).double()
    assert drawn.shape == (members, steps, samples)
    assert ((drawn.mean(1) - rate).abs() < 5 * (rate * (1 - rate) / steps) ** 0.5).all()
    # Draws without replacement, all of one size, would have no variance.
    variance = samples * rate * (1 - rate)
    assert ((drawn.sum(2).var(1) / variance - 1).abs() < 5 * (2 / steps) ** 0.5).all()
    correlations = torch.corrcoef(drawn.transpose(1, 2).reshape(members * samples, steps))
    assert (correlations - torch.eye(len(correlations))).abs().max() < 5 / steps**0.5
    assert poisson(generators, 3, 5, 1.0).all()


def test_noise_costs_accuracy_on_digits_within_a_band() -> None:
    """Over eight other tens of seeds: .81 to .84 by clipping alone, .52 to .58, .18 to .24; a tenth is mislabelled."""
    s = setting(10, size=300, dtype=torch.float32)
    seeds = list(range(10))
    recipe = Recipe(0.005, 64, epochs=25)
    means = []
    for multiplier in (0.0, 1.0, 4.0):
        trained, _ = privately(
            s, s.stack("mlp", seeds), recipe, multipliers=[multiplier] * 10, seeds=seeds, clip=1.0
        )
        right = predict(trained, s.pool, s.validation.indices) == s.validation.labels
        means.append(right.double().mean().item())
    clipped, private, drowned = means
    assert 0.76 < clipped < 0.88
    assert 0.46 < private < 0.66
    assert 0.1 < drowned < 0.32


@pytest.mark.parametrize(("multiplier", "rate", "steps"), [(1.0, 0.2, 50), (0.6, 0.05, 7), (4.0, 1.0, 3)])
def test_epsilon_is_that_of_opacus_accountant_step_by_step(
    multiplier: float, rate: float, steps: int
) -> None:
    from opacus.accountants import RDPAccountant

    accountant = RDPAccountant()
    for _ in range(steps):
        accountant.step(noise_multiplier=multiplier, sample_rate=rate)
    assert epsilon(multiplier, rate, steps, 1e-3) == pytest.approx(accountant.get_epsilon(1e-3), rel=1e-9)


def test_epsilon_of_the_whole_data_is_the_gaussian_mechanisms() -> None:
    """Renyi divergence alpha T / (2 noise^2), turned to (epsilon, delta) by Balle et al. 2020, theorem 21."""
    multiplier, steps, delta = 5.0, 4, 1e-5
    orders = [1 + i / 1000 for i in range(1, 60_000)]
    expected = min(
        a * steps / (2 * multiplier**2) + log((a - 1) / a) - (log(delta) + log(a)) / (a - 1) for a in orders
    )
    assert expected <= epsilon(multiplier, 1.0, steps, delta) < expected * 1.001


@settings(deadline=None, max_examples=5)
@given(st.floats(0.6, 8), st.floats(0.01, 0.9), st.integers(1, 2000), st.floats(-7, -2))
def test_epsilon_falls_with_noise_and_delta_and_grows_with_steps_and_rate(
    multiplier: float, rate: float, steps: int, exponent: float
) -> None:
    delta = exp(exponent * log(10))
    spent = epsilon(multiplier, rate, steps, delta)
    assert 0 < spent < inf
    assert epsilon(multiplier * 1.2, rate, steps, delta) < spent
    assert epsilon(multiplier, rate, 2 * steps, delta) > spent
    assert epsilon(multiplier, min(1.0, rate * 1.1), steps, delta) > spent
    assert epsilon(multiplier, rate, steps, delta * 2) < spent
    assert epsilon(0.0, rate, steps, delta) == inf


def test_the_accountant_says_nothing_where_the_bound_is_loose(recwarn: pytest.WarningsRecorder) -> None:
    assert epsilon(0.2, 0.2, 1000, 1e-3) > 1000
    assert not recwarn.list
