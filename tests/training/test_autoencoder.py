"""A model of a fleet of autoencoders equals the same one of PyTorch modules, trained by the loop anyone writes."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence

from repro.seeds import stream
from repro.training import autoencoder
from repro.training.autoencoder import Autoencoders
from repro.training.recipe import Recipe

PIXELS, WIDTH, LATENT = 12, 9, 3
SEEDS = [4, 11, 7]
BETA = 0.3
RECIPE = Recipe(0.01, 8, 4)


class Plain(nn.Module):
    """One autoencoder as layers."""

    def __init__(self, models: Autoencoders, k: int) -> None:
        super().__init__()
        sizes = {
            "encoder": (PIXELS, WIDTH),
            "posterior": (WIDTH, 2 * LATENT),
            "decoder": (LATENT, WIDTH),
            "pixels": (WIDTH, PIXELS),
        }
        self.layers = nn.ModuleDict({name: nn.Linear(*size) for name, size in sizes.items()}).double()
        with torch.no_grad():
            for name, layer in self.layers.items():
                layer.weight.copy_(models.parameters[f"{name}.weight"][k].T)
                layer.bias.copy_(models.parameters[f"{name}.bias"][k, 0])

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        out = self.layers["posterior"](torch.relu(self.layers["encoder"](images - 0.5)))
        return out[:, :LATENT], out[:, LATENT:]

    def decode(self, codes: Tensor) -> Tensor:
        return torch.sigmoid(self.layers["pixels"](torch.relu(self.layers["decoder"](codes))))

    def loss(self, image: Tensor, noise: Tensor, beta: float) -> Tensor:
        """Of a single image (pixels,)."""
        mean, log_variance = (part[0] for part in self.encode(image[None]))
        deviation = torch.sqrt(torch.exp(log_variance))
        error = sum((image - self.decode((mean + deviation * noise)[None])[0]) ** 2)
        prior = Normal(torch.zeros(LATENT).double(), torch.ones(LATENT).double())
        divergence: Tensor = kl_divergence(Normal(mean, deviation), prior).sum()
        return error + beta * divergence


def pool_and_indices() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    pool = torch.rand(50, PIXELS, generator=generator, dtype=torch.float64)
    # Not a multiple of the batch: a last incomplete one is dropped.
    return pool, torch.stack([torch.randperm(50, generator=generator)[:27] for _ in SEEDS])


def fresh(seeds: list[int] = SEEDS) -> Autoencoders:
    start = Autoencoders.initialised(PIXELS, WIDTH, LATENT, seeds)
    return Autoencoders({name: tensor.double() for name, tensor in start.parameters.items()})


def trained_plainly(start: Autoencoders, k: int, pool: Tensor, own: Tensor, seed: int) -> Plain:
    model = Plain(start, k)
    optimiser = torch.optim.Adam(model.parameters(), lr=RECIPE.learning_rate)
    orders, noises = stream(seed, "autoencoder-order"), stream(seed, "autoencoder-noise")
    for _ in range(RECIPE.epochs):
        order = torch.randperm(len(own), generator=orders)
        noise = torch.randn(len(own) // 8, 8, LATENT, generator=noises).double()
        for step in range(len(own) // 8):
            batch = pool[own[order[step * 8 : step * 8 + 8]]]
            losses = [model.loss(image, drawn, BETA) for image, drawn in zip(batch, noise[step], strict=True)]
            optimiser.zero_grad()
            (sum(losses[1:], losses[0]) / 8).backward()
            optimiser.step()
    return model


def test_a_member_equals_the_same_autoencoder_trained_alone() -> None:
    (pool, indices), start = pool_and_indices(), fresh()
    before = {name: tensor.clone() for name, tensor in start.parameters.items()}
    trained = autoencoder.train(start, pool, indices, RECIPE, BETA, SEEDS)
    for k, seed in enumerate(SEEDS):
        plain = trained_plainly(start, k, pool, indices[k], seed)
        for name, layer in plain.layers.items():
            close = {"rtol": 1e-6, "atol": 1e-8}
            torch.testing.assert_close(trained.parameters[f"{name}.weight"][k].T, layer.weight, **close)
            torch.testing.assert_close(trained.parameters[f"{name}.bias"][k, 0], layer.bias, **close)
        own = trained.member(k)
        means, log_variances = own.encode(pool[None])
        expected = plain.encode(pool)
        torch.testing.assert_close(means[0], expected[0])
        torch.testing.assert_close(log_variances[0], expected[1])
        torch.testing.assert_close(own.decode(means)[0], plain.decode(expected[0]))
    assert all(torch.equal(before[name], tensor) for name, tensor in start.parameters.items())
    moved = [(trained.parameters[n] - before[n]).abs().amax((1, 2)) for n in before]
    assert all((change > 1e-3).all() for change in moved)


@given(st.integers(1, 6), st.floats(0.01, 5), st.integers(0, 1000))
@settings(deadline=None, max_examples=20)
def test_the_loss_is_the_mean_of_the_images_bounds_written_out(batch: int, beta: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    models = fresh()
    images = torch.rand(3, batch, PIXELS, generator=generator, dtype=torch.float64)
    noise = torch.randn(3, batch, LATENT, generator=generator, dtype=torch.float64)
    found = autoencoder.loss(models, images, noise, beta)
    for k in range(3):
        plain = Plain(models, k)
        each = [plain.loss(images[k, i], noise[k, i], beta) for i in range(batch)]
        assert found[k].item() == pytest.approx(sum(one.item() for one in each) / batch, rel=1e-9)


def test_members_start_from_their_own_seed_at_pytorchs_scale() -> None:
    models = Autoencoders.initialised(100, 50, 5, [3, 8])
    (alone,) = [Autoencoders.initialised(100, 50, 5, [8])]
    inputs = {"encoder": 100, "posterior": 50, "decoder": 5, "pixels": 50}
    for name, tensor in models.parameters.items():
        bound = 1 / math.sqrt(inputs[name.split(".")[0]])
        assert torch.equal(tensor[1], alone.parameters[name][0])
        assert not torch.equal(tensor[0], tensor[1])
        assert tensor.abs().max() <= bound
        assert tensor.max() > 0.5 * bound
        assert tensor.min() < -0.5 * bound
    assert (models.members, models.latent) == (2, 5)


def test_it_learns_two_factors_and_decodes_within_the_range_of_pixels() -> None:
    generator = torch.Generator().manual_seed(2)
    factors = torch.rand(200, 2, generator=generator)
    pool = (factors @ torch.tensor([[1.0, 0.0] * 6, [0.0, 1.0] * 6])).clamp(0, 1)
    indices = torch.arange(200).repeat(1, 1)
    start = Autoencoders.initialised(PIXELS, 32, 4, [5])
    trained = autoencoder.train(start, pool, indices, Recipe(0.01, 20, 40), 0.02, [5])

    def error(models: Autoencoders) -> float:
        decoded = models.decode(models.encode(pool[None])[0])[0]
        assert ((decoded >= 0) & (decoded <= 1)).all()
        return float((decoded - pool).detach().square().mean())

    assert error(trained) < 0.1 * error(start)
    spread = trained.encode(pool[None])[0][0].var(0)
    assert int((spread > 0.1).sum()) == 2, "the prior leaves the other dimensions unused"


def test_a_larger_beta_pulls_the_posterior_to_the_prior() -> None:
    pool, indices = pool_and_indices()
    spread = [
        autoencoder.train(fresh(), pool, indices, Recipe(0.01, 8, 15), beta, SEEDS)
        .encode(pool.expand(3, -1, -1))[0]
        .var(1)
        .sum(1)
        for beta in (0.01, 1.0)
    ]
    assert (spread[1] < 0.5 * spread[0]).all()


def test_patience_is_refused() -> None:
    pool, indices = pool_and_indices()
    with pytest.raises(ValueError, match="early stopping"):
        autoencoder.train(fresh(), pool, indices, Recipe(0.01, 8, 1, patience=3), BETA, SEEDS)
