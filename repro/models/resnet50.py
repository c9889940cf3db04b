"""ResNet-50 (He et al. 2016), torchvision's; h(x) is its 2048 averaged features (truong2020 2.2).

Published weights are torchvision's first ImageNet ones (V1, the model zoo's that truong2020 4.3 starts from), as
safetensors: huggingface.co/timm/resnet50.tv_in1k. Images of any size from 32; on 32x32 ones its stride of 32 leaves
a single position to average, unless the recipe's ``size`` resizes them.
"""

from torch import Tensor, nn

from repro.errors import ReproError
from repro.models._networks import Network
from repro.models._published import load_published
from repro.models._torchvision import package

ENGINE = "network"
PARAMETERS = 25_557_032  # for colour images and 1,000 classes
PUBLISHED = "timm/resnet50.tv_in1k"
_MEAN, _STD = (
    (0.485, 0.456, 0.406),
    (0.229, 0.224, 0.225),
)  # of ImageNet's pixels, used when these weights were trained


class _ResNet50(Network):
    def __init__(self, channels: int, classes: int) -> None:
        super().__init__(channels, 2048, classes)
        self.body = package("torchvision.models").resnet50(weights=None)
        self.body.fc = nn.Identity()
        if channels != 3:
            self.body.conv1 = nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False)

    def hidden(self, images: Tensor) -> Tensor:
        features: Tensor = self.body(images)
        return features


def network(shape: tuple[int, int, int], classes: int, pretrained: bool) -> Network:
    """The network, with PyTorch's random weights, or with published ones except for its head (colour images only)."""
    if pretrained and shape[0] != 3:
        raise ReproError(f"resnet50: published weights take 3 channels, these images have {shape[0]}")
    made = _ResNet50(shape[0], classes)
    if pretrained:
        load_published(made.body, PUBLISHED, ("fc.weight", "fc.bias"))
        made.normalise_by(_MEAN, _STD)
    return made
