"""NASNet-A 1 @ 192 for small images (Zoph et al. 2018, figure 2, CIFAR-10), from timm's cells: NASNet's small relative.

A 3x3 stem, then one normal cell at each of three resolutions with a reduction cell between, 8, 16 and 32 filters wide.
h(x) is the 192 averaged features after the last cell's rectifier. Images of any size from 8.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from repro.errors import ReproError
from repro.models._networks import Network
from repro.models._torchvision import package

ENGINE = "network"
PARAMETERS = 260_336  # for colour images and 1,000 classes
FILTERS = 8
_EPSILON = 1e-3  # of all batch normalisation in NASNet


class _NasNetSmall(Network):
    def __init__(self, channels: int, classes: int, f: int = FILTERS) -> None:
        super().__init__(channels, 24 * f, classes)
        parts = package("timm.models.nasnet")
        stem = 3 * f
        self.stem = nn.Sequential(
            nn.Conv2d(channels, stem, 3, padding=1, bias=False), nn.BatchNorm2d(stem, eps=_EPSILON)
        )
        # Channels of a cell's inputs, from the last two cells; a normal cell outputs six times its filters.
        self.normal_0 = parts.NormalCell(stem, f, stem, f, "same")
        self.reduction_0 = parts.ReductionCell0(stem, 2 * f, 6 * f, 2 * f, "same")
        self.normal_1 = parts.FirstCell(stem, f, 8 * f, 2 * f, "same")
        self.reduction_1 = parts.ReductionCell1(8 * f, 4 * f, 12 * f, 4 * f, "same")
        self.normal_2 = parts.FirstCell(8 * f, 2 * f, 16 * f, 4 * f, "same")

    def hidden(self, images: Tensor) -> Tensor:
        stem = self.stem(images)
        x = self.reduction_0(self.normal_0(stem, stem), stem)
        y = self.reduction_1(self.normal_1(x, stem), x)
        return F.relu(self.normal_2(y, x)).mean((2, 3))


def network(shape: tuple[int, int, int], classes: int, pretrained: bool) -> Network:
    """The network, with PyTorch's random weights."""
    if pretrained:
        raise ReproError("nasnet_small: there are no published weights; set `pretrained: false`")
    return _NasNetSmall(shape[0], classes)
