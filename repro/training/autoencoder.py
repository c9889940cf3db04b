"""Variational autoencoders (Kingma and Welling 2014), K at once as one set of stacked tensors (desanctis 3).

Encoder and decoder have one hidden layer of ReLUs each; the posterior is a diagonal Gaussian, the prior a standard one.
Pixels are grey values, not coin tosses, so that the likelihood is Gaussian with a fixed variance about the decoder's
output, which a sigmoid keeps in [0, 1]. An image's loss is

    sum over pixels of (x - decoded)^2  +  beta KL(posterior, prior),

the beta-VAE's (Higgins et al. 2017): up to constants, the bound on the likelihood with variance beta / 2, times beta.

All models share one pool of images; what a model trains on is a row of indices into it, and its random order and noise
come from its own seed. Its result is that of the same model trained alone, up to rounding.
"""

from collections.abc import Sequence
from math import sqrt

import torch
from torch import Tensor

from repro.kernel import steps
from repro.models import Dense
from repro.seeds import stream
from repro.training import compiled
from repro.training.recipe import Recipe
from repro.training.stack import Stack

CENTRE = 0.5  # the encoder sees pixels centred around zero
LAYERS = ("encoder", "posterior", "decoder", "pixels")


class Autoencoders:
    """Parameters of K autoencoders and their two directions.

    ``parameters`` maps ``<layer>.weight`` to (K, inputs, outputs) and ``<layer>.bias`` to (K, 1, outputs), for the
    layers in ``LAYERS``. The outputs of ``posterior`` are L means, and after them L log variances.
    """

    def __init__(self, parameters: dict[str, Tensor]) -> None:
        self.parameters = {n: t.detach().clone().requires_grad_() for n, t in parameters.items()}

    @classmethod
    def initialised(cls, pixels: int, width: int, latent: int, seeds: Sequence[int]) -> "Autoencoders":
        """K new autoencoders, pixels-width-latent-width-pixels, each drawn from its own seed's stream."""
        members = [_initial(pixels, width, latent, seed) for seed in seeds]
        return cls({name: torch.stack([member[name] for member in members]) for name in members[0]})

    @property
    def members(self) -> int:
        """K, the number of autoencoders."""
        return self.parameters["pixels.bias"].shape[0]

    @property
    def latent(self) -> int:
        """L, the number of latent dimensions."""
        return self.parameters["decoder.weight"].shape[1]

    def to(self, device: torch.device) -> "Autoencoders":
        """A copy on a device."""
        return Autoencoders({name: tensor.to(device) for name, tensor in self.parameters.items()})

    def member(self, k: int) -> "Autoencoders":
        """One of the autoencoders, as a stack of one."""
        return Autoencoders({name: tensor[k : k + 1] for name, tensor in self.parameters.items()})

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Means and log variances (K, B, L) of the codes of images (K, B, pixels) in [0, 1]."""
        hidden = self._layer("encoder", images - CENTRE).relu()
        means, log_variances = self._layer("posterior", hidden).chunk(2, dim=-1)
        return means, log_variances

    def decode(self, codes: Tensor) -> Tensor:
        """Images (K, B, pixels) in [0, 1] of codes (K, B, L)."""
        return self._layer("pixels", self._layer("decoder", codes).relu()).sigmoid()

    def _layer(self, name: str, x: Tensor) -> Tensor:
        return torch.baddbmm(self.parameters[f"{name}.bias"], x, self.parameters[f"{name}.weight"])


def _initial(pixels: int, width: int, latent: int, seed: int) -> dict[str, Tensor]:
    """One autoencoder, by PyTorch's default for linear layers: U(-1, 1) / sqrt(inputs)."""
    generator = stream(seed, "autoencoder-initialisation")
    sizes = ((pixels, width), (width, 2 * latent), (latent, width), (width, pixels))
    state = {}
    for name, (inputs, outputs) in zip(LAYERS, sizes, strict=True):
        for part, rows in (("weight", inputs), ("bias", 1)):
            drawn = torch.rand(rows, outputs, generator=generator)
            state[f"{name}.{part}"] = (drawn * 2 - 1) / sqrt(inputs)
    return state


def loss(models: Autoencoders, images: Tensor, noise: Tensor, beta: float) -> Tensor:
    """Each model's mean loss (K,) on images (K, B, pixels), their codes drawn with ``noise`` (K, B, L)."""
    means, log_variances = models.encode(images)
    decoded = models.decode(means + noise * (log_variances / 2).exp())
    error = (images - decoded).square().sum((1, 2))
    divergence = (means.square() + log_variances.exp() - log_variances - 1).sum((1, 2)) / 2
    return (error + beta * divergence) / images.shape[1]


def train(
    models: Autoencoders, pool: Tensor, indices: Tensor, recipe: Recipe, beta: float, seeds: Sequence[int]
) -> Autoencoders:
    """The models after ``recipe.epochs`` passes of Adam, each over its own images.

    ``pool`` (N, pixels) in [0, 1], ``indices`` (K, n) into it. Batches are drawn as `Recipe` says; there is no early
    stopping. Raises ValueError for a recipe with patience.
    """
    if recipe.patience is not None:
        raise ValueError("an autoencoder trains for all its epochs: there is no early stopping")
    if pool.device.type == "cpu":
        return _train_compiled(models, pool, indices, recipe, beta, seeds)
    return train_stacked(models, pool, indices, recipe, beta, seeds)


def train_stacked(
    models: Autoencoders, pool: Tensor, indices: Tensor, recipe: Recipe, beta: float, seeds: Sequence[int]
) -> Autoencoders:
    """Train all of them at once, as on a GPU; the oracle of the compiled training."""
    models = Autoencoders(models.parameters)
    # The fused update is one pass over memory, and its bias corrections are in float64.
    optimiser = torch.optim.Adam(models.parameters.values(), lr=recipe.learning_rate, fused=True)
    orders = [stream(seed, "autoencoder-order") for seed in seeds]
    noises = [stream(seed, "autoencoder-noise") for seed in seeds]
    n = indices.shape[1]
    size = min(recipe.batch_size, n)
    steps = n // size
    for _ in range(recipe.epochs):
        order = torch.stack([torch.randperm(n, generator=g) for g in orders])[:, : steps * size]
        shuffled = indices.gather(1, order.to(indices.device))
        drawn = [torch.randn(steps, size, models.latent, generator=g) for g in noises]
        noise = torch.stack(drawn, dim=1).to(pool.device)
        for step in range(steps):
            batch = pool[shuffled[:, step * size : (step + 1) * size]]
            optimiser.zero_grad()
            # Models share no parameter, so the gradient of the sum is each model's own.
            torch.autograd.backward(loss(models, batch, noise[step], beta).sum())
            optimiser.step()
    return models


def _train_compiled(
    models: Autoencoders, pool: Tensor, indices: Tensor, recipe: Recipe, beta: float, seeds: Sequence[int]
) -> Autoencoders:
    """Train one after another, with encoder and decoder as two networks of the compiled kernel."""
    n, (_, pixels, width), latent = indices.shape[1], models.parameters["encoder.weight"].shape, models.latent
    size = min(recipe.batch_size, n)
    images = (pool - CENTRE)[:, None].numpy()
    ends = (((pixels, 1, 1), 2 * latent), ((latent, 1, 1), pixels))
    results = []
    for k, seed in enumerate(seeds):
        order_stream, noise_stream = stream(seed, "autoencoder-order"), stream(seed, "autoencoder-noise")
        networks = []
        for (shape, outputs), layers in zip(ends, (LAYERS[:2], LAYERS[2:]), strict=True):
            names = dict(zip(("0", "head"), layers, strict=True))
            state = {
                f"{own}.{part}": models.parameters[f"{name}.{part}"].detach()
                for own, name in names.items()
                for part in ("weight", "bias")
            }
            networks.append(compiled.Model(Stack((Dense(width),), shape, outputs, state), k, size))
        for epoch in range(recipe.epochs):
            order = torch.randperm(n, generator=order_stream)[: n // size * size].view(-1, size)
            noise = torch.randn(len(order), size, latent, generator=noise_stream)
            steps.autoencode(
                networks[0].memory,
                networks[1].memory,
                images,
                indices[k][order].numpy(),
                noise.to(pool.dtype).numpy(),
                images.dtype.type(beta),
                recipe.learning_rate,
                epoch * len(order),
            )
        states = [network.state() for network in networks]
        results.append(
            {
                f"{name}.{part}": state[f"{own}.{part}"]
                for state, layers in zip(states, (LAYERS[:2], LAYERS[2:]), strict=True)
                for own, name in zip(("0", "head"), layers, strict=True)
                for part in ("weight", "bias")
            }
        )
    return Autoencoders({name: torch.stack([r[name] for r in results]) for name in models.parameters})


def warm() -> None:
    """Compile the kernel functions used here, or load what was compiled before."""
    start = Autoencoders.initialised(2, 2, 1, [0])
    train(start, torch.zeros(2, 2), torch.zeros(1, 2, dtype=torch.long), Recipe(0.1, 1, 1), 0.1, [0])
