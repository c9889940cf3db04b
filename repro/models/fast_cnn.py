"""A convolutional network made to be trained fast on a GPU: wide 3x3 convolutions, few layers, 3.3 million parameters.

Our own design, after what airbench shows about training CIFAR-10 in seconds. Three stages, 128, 256 and 384 channels
wide: a convolution, pooling to half the resolution, and a second convolution with a skip connection from the first
one's output; batch normalisation and GELU after each. h(x) is the largest value of each of the last 384 channels,
scaled to an eighth, so that the initial logits are small relative to a high learning rate. Its input is not whitened,
and there is no test-time augmentation. Images of any size from 8.

For speed, a profile's ``training.options``: precision bfloat16, channels_last, compile, optimiser sgd, schedule
triangle, label_smoothing 0.1, augmentation flip+translate, weight_decay 0.0005; batches of 512 and a rate of 0.2.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from repro.errors import ReproError
from repro.models._networks import Network

ENGINE = "network"
PARAMETERS = 3_707_688  # for colour images and 1,000 classes
STEM, WIDTHS = 64, (128, 256, 384)
SCALE = 0.125


class _Convolution(nn.Module):
    """3x3 convolution, pooled if asked to, normalised, GELU."""

    def __init__(self, channels: int, width: int, pooled: bool = False) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.pooled = pooled

    def forward(self, x: Tensor) -> Tensor:
        x = self.convolution(x)
        if self.pooled:
            x = F.max_pool2d(x, 2)
        return F.gelu(self.norm(x))


class _FastCnn(Network):
    def __init__(self, channels: int, classes: int) -> None:
        super().__init__(channels, WIDTHS[-1], classes)
        self.stem = _Convolution(channels, STEM)
        self.narrowing = nn.ModuleList(
            _Convolution(before, width, pooled=True)
            for before, width in zip((STEM, *WIDTHS), WIDTHS, strict=False)
        )
        self.carried = nn.ModuleList(_Convolution(width, width) for width in WIDTHS)

    def hidden(self, images: Tensor) -> Tensor:
        x = self.stem(images)
        for narrowing, carried in zip(self.narrowing, self.carried, strict=True):
            x = narrowing(x)
            x = x + carried(x)
        largest: Tensor = x.amax((2, 3))
        return SCALE * largest


def network(shape: tuple[int, int, int], classes: int, pretrained: bool) -> Network:
    """The network, with PyTorch's random weights."""
    if pretrained:
        raise ReproError("fast_cnn: there are no published weights; set `pretrained: false`")
    return _FastCnn(shape[0], classes)
