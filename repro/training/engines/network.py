"""Large architectures of PyTorch modules, one model after another, with the dataset on the device as bytes.

Training works as for the fleet (``repro.training.fleet``): batches without replacement, an incomplete one dropped;
order, initialisation and a defence's numbers from streams of the run's own seed; early stopping with the weights of the
last epoch. With the default options the result equals that of a plain PyTorch loop with ``torch.optim.Adam``
(tests/training/test_network.py). Within an epoch nothing waits for the device.

Options, where they differ from the paper's plain recipe: ``precision`` bfloat16 runs the network up to h(x) under
autocast (the head, all losses and all measuring stay in float32, on a GPU with PyTorch's usual TF32 convolutions);
``channels_last`` and ``compile`` change only speed and rounding; ``optimiser`` sgd has Nesterov momentum 0.9;
``schedule`` triangle and ``augmentation`` are described in ``networks_recipe`` and ``networks_batches``; ``size``
resizes images to that many pixels, null leaves them as they are: the papers do not say at what size CIFAR-10 was fed to
their networks.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from repro.errors import ReproError
from repro.losses import Batch
from repro.losses.terms import cross_entropy
from repro.models._networks import Network, Networks, drawn, from_stacked, prepared, weights_of
from repro.seeds import stream
from repro.training import networks_batches as batches
from repro.training.fleet import Regularisation, Split
from repro.training.networks_recipe import Optimiser, Settings, settings_of
from repro.training.recipe import Recipe

OPTIONS: dict[str, Any] = {
    "precision": "float32",
    "channels_last": False,
    "compile": False,
    "optimiser": "adam",
    "schedule": "constant",
    "label_smoothing": 0.0,
    "augmentation": "none",
    "weight_decay": 0.0,
    "size": None,
}
_PIXELS = 1 << 24  # pixels of a batch that is measured: bounds memory for large images


def pool_of(images: Tensor, device: torch.device) -> Tensor:
    """The pool, uint8 (n, h, w, c), rounded to 256 levels."""
    return batches.quantised(images).to(device)


def fresh(
    piece: ModuleType,
    shape: tuple[int, int, int],
    classes: int,
    seeds: Sequence[int],
    pretrained: bool,
    device: torch.device,
) -> Networks:
    """K models, each drawn from its own seed; with ``pretrained``, only the head is drawn, the rest is as published."""
    return drawn(piece, shape, classes, seeds, pretrained, device)


def restored(
    piece: ModuleType,
    shape: tuple[int, int, int],
    classes: int,
    weights: dict[str, Tensor],
    device: torch.device,
) -> Networks:
    """The models that ``state`` was taken from."""
    return from_stacked(piece, shape, classes, weights, device)


def train(
    models: Networks,
    pool: Tensor,
    training: Split,
    validation: Split | None,
    recipe: Recipe,
    seeds: Sequence[int],
    regularisation: Regularisation,
    purpose: str = "training",
) -> tuple[Networks, list[int]]:
    """Train copies of the models; the given ones are unchanged. Raises ReproError for an option out of range."""
    if recipe.patience is not None and validation is None:
        raise ValueError("early stopping needs a validation split")
    options = settings_of(recipe, OPTIONS)
    if options.label_smoothing and _mixes_labels(regularisation.piece):
        raise ReproError(
            "training option label_smoothing: not with manifold_mixup, which mixes labels itself"
        )
    weights, epochs = [], []
    for k, seed in enumerate(seeds):
        one = _Training(models.load(k), pool, recipe, options, seed, _member(regularisation, k), purpose)
        with _repeatable():
            epochs.append(one.run(_row(training, k), None if validation is None else _row(validation, k)))
        models.network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        weights.append(weights_of(models.network))
    return Networks(models.network, weights, options.size), epochs


@torch.no_grad()
def logits_of(models: Networks, pool: Tensor, indices: Tensor, batch: int = 512) -> Tensor:
    """Logits (K, n, classes) of each model on its own images, in the weights' own precision."""
    return torch.stack(
        [_logits(models.load(k), pool, row, models.size, batch) for k, row in enumerate(indices)]
    )


def state(models: Networks) -> dict[str, Tensor]:
    """Weights and running statistics by name, the images' normalisation and size among them, (K, ...) each."""
    return models.stacked()


def _mixes_labels(defence: ModuleType) -> bool:
    return getattr(defence, "__name__", "").endswith(".manifold_mixup")


def _row(split: Split, member: int) -> Split:
    return Split(split.indices[member], split.labels[member])


def _member(regularisation: Regularisation, member: int) -> Regularisation:
    return Regularisation(
        regularisation.piece, regularisation.weights[member : member + 1], regularisation.options
    )


def _logits(network: Network, pool: Tensor, indices: Tensor, size: int, batch: int) -> Tensor:
    network.eval()
    side = size or max(pool.shape[1:3])
    parts = torch.split(indices, min(batch, max(1, _PIXELS // side**2)))
    return torch.cat([network.head(network.hidden(prepared(network, pool[part], size))) for part in parts])


class _Training:
    """One model in training; splits hold its own rows (n,), the regularisation its own weight (1,)."""

    def __init__(
        self,
        network: Network,
        pool: Tensor,
        recipe: Recipe,
        options: Settings,
        seed: int,
        regularisation: Regularisation,
        purpose: str,
    ) -> None:
        self.network, self.pool, self.recipe, self.options = network, pool, recipe, options
        self.device, dtype = pool.device, network.head.weight.dtype
        self.regularisation = regularisation
        self.weight = regularisation.weights.to(self.device)
        # Plain numbers would be copied to the device, and waited for, in every step.
        self.constants = {
            name: torch.tensor(value, dtype=dtype, device=self.device)
            if type(value) in (int, float)
            else value
            for name, value in regularisation.options.items()
        }
        own = getattr(regularisation.piece, "learned", None)
        self.learned = {
            f"defence.{name}": nn.Parameter(tensor.to(self.device, dtype))
            for name, tensor in (own(1) if own else {}).items()
        }
        self.optimiser = Optimiser(network.parameters(), self.learned.values(), recipe, self.options)
        self.order = stream(seed, f"{purpose}-order")
        self.noise = stream(seed, f"{purpose}-defence")
        self.augmenting = stream(seed, f"{purpose}-augmentation")
        self.memory = torch.channels_last if options.channels_last else torch.contiguous_format
        self.hidden: Callable[[Network, Tensor, int, torch.memory_format], Tensor] = (
            # One kernel per batch size: which one a model gets must not depend on what was trained before.
            torch.compile(_hidden, dynamic=False) if self.options.compile else _hidden
        )

    def run(self, training: Split, validation: Split | None) -> int:
        """Train until the recipe's end or until early stopping; returns how many epochs that took."""
        best, since = -1, 0
        self.network.to(memory_format=self.memory)  # type: ignore[call-overload]
        for epoch in range(1, self.recipe.epochs + 1):
            self.epoch(training, epoch)
            if self.recipe.patience is None or validation is None:
                continue
            logits = self._validated(validation.indices)
            correct = int((logits.argmax(-1) == validation.labels).sum())
            best, since = (correct, 0) if correct > best else (best, since + 1)
            if since >= self.recipe.patience:
                return epoch
        return self.recipe.epochs

    def epoch(self, training: Split, epoch: int) -> None:
        """One pass over the training samples, with all random numbers drawn and copied to the device beforehand."""
        self.network.train()
        n = len(training.indices)
        size = min(self.recipe.batch_size, n)
        steps = n // size
        order = torch.randperm(n, generator=self.order)[: steps * size].to(self.device)
        indices, labels = training.indices[order], training.labels[order]
        count = getattr(self.regularisation.piece, "DRAWS", 0)
        draws = torch.rand(steps, size, count, generator=self.noise).to(self.device)
        moves = batches.draws_for(self.options.augmentation, steps * size, self.augmenting)
        moves = None if moves is None else moves.to(self.device)
        for step in range(steps):
            part = slice(step * size, (step + 1) * size)
            images = batches.batch_of(
                self.pool, indices[part], self.options.augmentation, None if moves is None else moves[part]
            )
            loss = self._loss(images, labels[part], draws[step])
            self.optimiser.step(loss, (epoch - 1 + step / steps) / self.recipe.epochs)

    def _loss(self, images: Tensor, labels: Tensor, draws: Tensor) -> Tensor:
        low = self.options.precision == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=low):
            hidden = self.hidden(self.network, images, self.options.size, self.memory)
        # Losses over pairs need their dtype's full precision (repro.losses.terms).
        hidden = hidden.float() if low else hidden
        head = self.network.head
        logits = head(hidden)
        parameters: dict[str, Tensor] = {
            "head.weight": head.weight.t().unsqueeze(0),
            "head.bias": head.bias.view(1, 1, -1),
        }
        batch = Batch(
            hidden.unsqueeze(0),
            logits.unsqueeze(0),
            labels.unsqueeze(0),
            draws.unsqueeze(0),
            parameters | self.learned,
        )
        loss: Tensor = self.regularisation.piece.loss(batch, self.weight, **self.constants)
        if self.options.label_smoothing:
            # Cross entropy is linear in its target: this turns that of the labels into that of the smoothed labels.
            uniform = (batch.logits.logsumexp(2) - batch.logits.mean(2)).mean(1)
            loss = loss + self.options.label_smoothing * (uniform - cross_entropy(batch.logits, batch.labels))
        return loss.sum()

    @torch.no_grad()
    def _validated(self, indices: Tensor) -> Tensor:
        return _logits(self.network, self.pool, indices, self.options.size, batch=512)


def _hidden(network: Network, images: Tensor, size: int, memory: torch.memory_format) -> Tensor:
    return network.hidden(prepared(network, images, size, memory))


@contextmanager
def _repeatable() -> Iterator[None]:
    """Use convolution algorithms on a GPU that add in a fixed order, as those on the CPU do."""
    cudnn = torch.backends.cudnn
    before = cudnn.deterministic
    cudnn.deterministic = True
    try:
        yield
    finally:
        cudnn.deterministic = before
