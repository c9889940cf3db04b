"""What the engine ``network`` trains: a PyTorch module with a hidden representation, and K sets of weights for it.

An architecture's piece with ``ENGINE = "network"`` defines ``network(shape, classes, pretrained)``, which returns a
``Network``. ``shape`` is (channels, height, width); the weights are drawn from PyTorch's CPU generator.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from repro.errors import ReproError
from repro.seeds import stream

LEVELS = 255.0
CENTRE = 0.5
_SIZE = "input_size"


class Network(nn.Module):
    """An architecture: ``hidden`` maps images to h(x) (B, D) of truong2020 2.3, ``head`` maps h(x) to the logits.

    ``mean`` and ``std`` (c,) normalise its images in [0, 1]. They are part of its state, since published weights bring
    their own; other networks take images centred by 0.5.
    """

    mean: Tensor
    std: Tensor
    head: nn.Linear

    def __init__(self, channels: int, width: int, classes: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.full((channels,), CENTRE))
        self.register_buffer("std", torch.ones(channels))
        self.head = nn.Linear(width, classes)

    def hidden(self, images: Tensor) -> Tensor:
        """The final hidden representation (B, D) of normalised images (B, c, h, w)."""
        raise NotImplementedError

    def normalise_by(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """Adopt the normalisation of published weights."""
        self.mean.copy_(torch.tensor(mean))
        self.std.copy_(torch.tensor(std))


def prepared(
    network: Network, images: Tensor, size: int, memory: torch.memory_format = torch.contiguous_format
) -> Tensor:
    """Normalised images (B, c, h, w) from stored ones, uint8 (B, h, w, c); ``size`` > 0 resizes them to a square.

    Resizing is bilinear.
    """
    x = images.to(network.mean.dtype).div(LEVELS).sub(network.mean).div(network.std).permute(0, 3, 1, 2)
    if size and x.shape[2:] != (size, size):
        x = F.interpolate(x, size=(size, size), mode="bilinear", align_corners=False)
    return x.contiguous(memory_format=memory)


@dataclass(frozen=True)
class Networks:
    """K models of one architecture: a module that holds one at a time, and the weights of each, on its device.

    ``size``: pixels to which images are resized, 0 for none. It comes from the recipe, and stays with the weights.
    """

    network: Network
    weights: list[dict[str, Tensor]] = field(repr=False)
    size: int = 0

    def load(self, member: int) -> Network:
        """The module with a model's weights."""
        self.network.load_state_dict(self.weights[member])
        return self.network

    @property
    def device(self) -> torch.device:
        """The device of the models."""
        return self.network.mean.device

    def stacked(self) -> dict[str, Tensor]:
        """All weights by name, (K, ...), on the CPU, and the size of images."""
        result = {
            name: torch.stack([weights[name] for weights in self.weights]).cpu().contiguous()
            for name in self.weights[0]
        }
        return result | {_SIZE: torch.full((len(self.weights),), self.size)}


def weights_of(network: Network) -> dict[str, Tensor]:
    """A copy of a module's weights and running statistics."""
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}


def drawn(
    piece: ModuleType,
    shape: tuple[int, int, int],
    classes: int,
    seeds: Sequence[int],
    pretrained: bool,
    device: torch.device,
) -> Networks:
    """K models, each drawn from its own seed's ``initialisation`` stream; PyTorch's own generator is left alone."""
    members = []
    for seed in seeds:
        # Layers draw from the global generator; torch.manual_seed would also reseed every GPU's generator.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(stream(seed, "initialisation").initial_seed())
            network = cast(Network, piece.network(shape, classes, pretrained))
        members.append({name: tensor.to(device) for name, tensor in weights_of(network).items()})
    return Networks(network.to(device), members)


def from_stacked(
    piece: ModuleType,
    shape: tuple[int, int, int],
    classes: int,
    weights: Mapping[str, Tensor],
    device: torch.device,
) -> Networks:
    """The models that ``stacked`` was taken from; raises ReproError for weights of another architecture."""
    with torch.random.fork_rng(devices=[]):
        network = cast(Network, piece.network(shape, classes, False))
    own = network.state_dict()
    given = {name: tensor for name, tensor in weights.items() if name != _SIZE}
    fit = given.keys() == own.keys() and all(given[n].shape[1:] == own[n].shape for n in own)
    if not fit or _SIZE not in weights:
        raise ReproError(
            f"{piece.__name__.rpartition('.')[2]}: the stored weights are not of this architecture"
        )
    members = [
        {name: tensor[k].to(device) for name, tensor in given.items()} for k in range(len(weights[_SIZE]))
    ]
    network.to(device=device, dtype=given["head.weight"].dtype)
    return Networks(network, members, int(weights[_SIZE][0]))
