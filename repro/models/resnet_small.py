"""ResNet-14 for small images (He et al. 2016, section 4.2): ResNet-50's small relative, 0.17 million parameters.

Three stages of two basic blocks, 16, 32 and 64 channels wide, each stage at half the last one's resolution; shortcuts
without parameters (their option A). h(x) is the 64 averaged features of the last block. Images of any size from 8.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from repro.errors import ReproError
from repro.models._networks import Network

ENGINE = "network"
PARAMETERS = 236_856  # for colour images and 1,000 classes
WIDTHS, BLOCKS = (16, 32, 64), 2


class _Block(nn.Module):
    """Two 3x3 convolutions with a skip connection, which takes every other position if ``stride`` is 2."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.stride, self.added = stride, width - channels
        self.first = nn.Conv2d(channels, width, 3, stride, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(width)
        self.second = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.first_norm(self.first(x)))
        y = self.second_norm(self.second(y))
        if self.stride > 1:
            x = x[:, :, :: self.stride, :: self.stride]
        if self.added:
            x = F.pad(x, (0, 0, 0, 0, 0, self.added))
        return F.relu(x + y)


class _ResNetSmall(Network):
    def __init__(self, channels: int, classes: int) -> None:
        super().__init__(channels, WIDTHS[-1], classes)
        self.stem = nn.Conv2d(channels, WIDTHS[0], 3, padding=1, bias=False)
        self.stem_norm = nn.BatchNorm2d(WIDTHS[0])
        blocks, before = [], WIDTHS[0]
        for width in WIDTHS:
            for position in range(BLOCKS):
                blocks.append(_Block(before, width, 2 if position == 0 and width > WIDTHS[0] else 1))
                before = width
        self.blocks = nn.Sequential(*blocks)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")

    def hidden(self, images: Tensor) -> Tensor:
        features: Tensor = self.blocks(F.relu(self.stem_norm(self.stem(images))))
        return features.mean((2, 3))


def network(shape: tuple[int, int, int], classes: int, pretrained: bool) -> Network:
    """The network with random weights (He et al. 2015's for convolutions)."""
    if pretrained:
        raise ReproError("resnet_small: there are no published weights; set `pretrained: false`")
    return _ResNetSmall(shape[0], classes)
