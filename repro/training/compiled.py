"""Train and read small models on the CPU, each by itself, through the compiled kernel.

It has the stacked fleet's interface, random numbers and, up to rounding, results (tests/training/test_compiled.py). A
model's outcome is the same bit for bit whatever it is trained beside.

If the kernel has no code for a loss (``kernel.losses.NAMES``), PyTorch computes its gradients at the logits and the
last hidden representation, between the kernel's forward and backward passes.
"""

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor

from repro import plugins
from repro.kernel import losses, passes, steps
from repro.losses import Batch
from repro.models import Convolution, Dense
from repro.seeds import stream
from repro.training.fleet import Observer, Regularisation, Split, due
from repro.training.layout import Array, layout
from repro.training.recipe import Recipe
from repro.training.stack import Stack

_READ = 64  # images per reading pass


class Model:
    """One model of a stack in a kernel's memory, for batches of at most ``capacity``."""

    def __init__(self, stack: Stack, member: int, capacity: int) -> None:
        self.layout = layout(stack.blocks, stack.shape, stack.classes, capacity)
        state = stack.state()
        kind = state["head.weight"].numpy().dtype
        buffers = {name: np.zeros(size, kind) for name, size in self.layout.sizes.items()}
        moments = {name: np.zeros_like(buffers["params"]) for name in ("gradient", "first", "second")}
        geometry = {"net": self.layout.net, "tables": self.layout.tables, "ramp": np.arange(self.layout.ramp)}
        self.memory = passes.Memory(**buffers, **moments, **geometry)
        for name, place in self.layout.places.items():
            place.view(self.memory)[:] = state[name][member].numpy()

    def state(self) -> dict[str, Tensor]:
        """A copy of the model's tensors, by their names in a stack."""
        return {
            name: torch.from_numpy(place.view(self.memory).copy())
            for name, place in self.layout.places.items()
        }

    def logits(self, pool: Array, indices: Array) -> Array:
        """Logits (n, classes) of images ``indices`` (n,) into the pool."""
        out = np.empty((len(indices), self.layout.classes), pool.dtype)
        steps.logits_of(self.memory, pool, indices, out)
        return out


def serves(stack: Stack) -> bool:
    """Whether a stack's models can be trained here: on a CPU, always."""
    return bool(stack.parameters["head.weight"].device.type == "cpu")


def train(
    stack: Stack,
    pool: Tensor,
    training: Split,
    validation: Split | None,
    recipe: Recipe,
    seeds: Sequence[int],
    regularisation: Regularisation,
    purpose: str = "training",
    observe: Observer | None = None,
) -> tuple[Stack, list[int]]:
    """Train every model as ``fleet.train`` does, one after another in each epoch."""
    if recipe.patience is not None and validation is None:
        raise ValueError("early stopping needs a validation split")
    images = lines_of(pool)
    members = [
        _Training(stack, k, images, training, validation, recipe, seed, regularisation, purpose)
        for k, seed in enumerate(seeds)
    ]
    active = list(range(len(members)))
    for epoch in range(1, recipe.epochs + 1):
        for k in active:
            members[k].epoch()
        if observe is not None and due(observe, epoch):
            observe(epoch, torch.tensor(active), stacked(stack, [members[k].model for k in active]))
        active = [k for k in active if not members[k].stale()]
        if not active:
            break
    return stacked(stack, [member.model for member in members]), [member.epochs for member in members]


def logits_of(stack: Stack, pool: Tensor, indices: Tensor) -> Tensor:
    """Logits (K, n, classes) of each model on its own images, ``indices`` (K, n) into the pool."""
    images = lines_of(pool)
    return torch.stack(
        [
            torch.from_numpy(Model(stack, k, _READ).logits(images, row.numpy()))
            for k, row in enumerate(indices)
        ]
    )


def lines_of(pool: Tensor) -> Array:
    """The pool (n, h, w, c) in the kernel's layout: (n, h, w * c)."""
    images: Array = pool.contiguous().flatten(2).numpy()
    return images


def stacked(like: Stack, models: Sequence[Model]) -> Stack:
    """Models as a stack of the same kind as another stack."""
    states = [model.state() for model in models]
    return Stack(
        like.blocks, like.shape, like.classes, {n: torch.stack([s[n] for s in states]) for n in like.state()}
    )


class _Training:
    """One model in training: its parameters, random streams, optimiser's step, and best accuracy."""

    def __init__(
        self,
        stack: Stack,
        member: int,
        pool: Array,
        training: Split,
        validation: Split | None,
        recipe: Recipe,
        seed: int,
        regularisation: Regularisation,
        purpose: str,
    ) -> None:
        self.indices, self.labels = training.indices[member], training.labels[member]
        self.size = min(recipe.batch_size, len(self.indices))
        self.model = Model(stack, member, self.size)
        self.pool, self.recipe = pool, recipe
        self.held_out = (
            None
            if validation is None or recipe.patience is None
            else (validation.indices[member].numpy(), validation.labels[member].numpy())
        )
        self.order, self.noise = stream(seed, f"{purpose}-order"), stream(seed, f"{purpose}-defence")
        self.draws = getattr(regularisation.piece, "DRAWS", 0)
        name = regularisation.piece.__name__.rpartition(".")[2]
        self.steps = self.epochs = self.since = 0
        self.best = -1
        if f"repro.defences.{name}" == regularisation.piece.__name__ and name in losses.NAMES:
            self.descend: Callable[..., None] = _Written(self, name, regularisation, member)
        else:
            self.descend = _Autograd(self, regularisation, member)

    def epoch(self) -> None:
        """One pass over the model's own samples; an incomplete last batch is dropped."""
        n = len(self.indices)
        steps = n // self.size
        order = torch.randperm(n, generator=self.order)[: steps * self.size].view(steps, self.size)
        draws = torch.rand(steps, self.size, self.draws, generator=self.noise)
        self.descend(self.indices[order], self.labels[order], draws)
        self.steps += steps
        self.epochs += 1

    def stale(self) -> bool:
        """Whether validation accuracy has not improved for the recipe's ``patience`` epochs."""
        if self.held_out is None:
            return False
        indices, labels = self.held_out
        correct = int((self.model.logits(self.pool, indices).argmax(1) == labels).sum())
        self.best, self.since = (correct, 0) if correct > self.best else (self.best, self.since + 1)
        return self.since >= (self.recipe.patience or 0)


class _Written:
    """Epochs with a loss that the kernel implements."""

    def __init__(self, own: _Training, name: str, regularisation: Regularisation, member: int) -> None:
        self.own, self.code = own, losses.NAMES.index(name)
        kind, piece = own.pool.dtype, regularisation.piece
        self.weight = kind.type(regularisation.weights[member])
        self.options = np.array(list(regularisation.options.values()) or [0.0], kind)
        learned = getattr(piece, "learned", None)
        for tensor in (learned(1) if learned else {}).values():
            own.model.memory.params[own.model.layout.learned] = tensor.numpy()[0]
        centres = getattr(piece, "bounded_centres", None)
        self.centres = np.zeros((0, 0), kind)
        if centres:
            hidden = own.model.layout.hidden
            dtype = torch.from_numpy(own.pool).dtype
            drawn = centres(own.model.layout.classes, hidden.features, dtype, **regularisation.options)
            self.centres = hidden.padded(drawn.numpy())

    def __call__(self, indices: Tensor, labels: Tensor, draws: Tensor) -> None:
        own = self.own
        partners = draws[..., 1].argsort(-1) if self.code == losses.MANIFOLD_MIXUP else labels
        steps.epoch(
            own.model.memory,
            own.pool,
            indices.numpy(),
            labels.numpy(),
            self.code,
            self.weight,
            self.options,
            draws.numpy(),
            partners.numpy(),
            self.centres,
            own.recipe.learning_rate,
            own.steps,
        )


class _Autograd:
    """Epochs with a loss that PyTorch differentiates, including a defence's own learnt parameters."""

    def __init__(self, own: _Training, regularisation: Regularisation, member: int) -> None:
        self.own, self.piece, self.options = own, regularisation.piece, regularisation.options
        self.kind = torch.from_numpy(own.pool).dtype
        self.weight = regularisation.weights[member : member + 1].to(self.kind)
        learned = getattr(regularisation.piece, "learned", None)
        self.learned = {
            f"defence.{name}": tensor.to(self.kind).requires_grad_()
            for name, tensor in (learned(1) if learned else {}).items()
        }
        rate = own.recipe.learning_rate
        self.optimiser = (
            torch.optim.Adam(self.learned.values(), lr=rate, fused=True) if self.learned else None
        )

    def __call__(self, indices: Tensor, labels: Tensor, draws: Tensor) -> None:
        own, memory, where = self.own, self.own.model.memory, self.own.model.layout
        size, head = own.size, where.net[-1]
        z = memory.scratch[head[passes.Z] :][: size * head[passes.PADDED]].reshape(size, -1)
        logits_there = z[:, : where.classes]
        hidden_there = where.hidden.view(memory.acts, size)
        for step, part in enumerate(indices.numpy()):
            steps.see(memory, own.pool, part)
            hidden = torch.tensor(hidden_there[None]).requires_grad_()
            logits = torch.tensor(logits_there[None]).requires_grad_()
            batch = Batch(hidden, logits, labels[step][None], draws[step][None], self.learned)
            loss = self.piece.loss(batch, self.weight, **self.options)
            wanted = [hidden, logits, *self.learned.values()]
            at_hidden, at_logits, *at_learned = torch.autograd.grad(loss.sum(), wanted, allow_unused=True)
            where.hidden.put(
                memory.grads, (torch.zeros_like(hidden) if at_hidden is None else at_hidden)[0].numpy()
            )
            logits_there[:] = at_logits[0].numpy()
            steps.learn(memory, size, own.recipe.learning_rate, own.steps + step + 1)
            if self.optimiser:
                for parameter, gradient in zip(self.learned.values(), at_learned, strict=True):
                    parameter.grad = gradient
                self.optimiser.step()


@cache
def warm() -> None:
    """Compile the kernel for single precision, or load what was compiled before, by one step of each entry point."""
    blocks = (Convolution(2, normalised=True), Dense(3))
    start = Stack.initialised(blocks, (1, 4, 4), 2, [0])
    nothing = torch.zeros(1, 4, dtype=torch.long)
    piece = plugins.load("defence", "none")
    undefended = Regularisation(piece, torch.zeros(1), piece.OPTIONS)
    samples = Split(nothing, nothing)
    train(start, torch.zeros(4, 4, 4, 1), samples, samples, Recipe(0.1, 4, 1, 1), [0], undefended)
