"""NASNet-A 6 @ 4032 (Zoph et al. 2018), timm's; h(x) is its 4032 averaged features (truong2020 2.2).

Published weights are Google's ImageNet ones as timm converted them, safetensors:
huggingface.co/timm/nasnetalarge.tf_in1k. Without dropout, whose rate truong2020 does not give. Images of any size
from 32.
"""

from torch import Tensor, nn

from repro.errors import ReproError
from repro.models._networks import Network
from repro.models._published import load_published
from repro.models._torchvision import package

ENGINE = "network"
PARAMETERS = 88_753_150  # for colour images and 1,000 classes
PUBLISHED = "timm/nasnetalarge.tf_in1k"
_MEAN, _STD = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)  # these weights were trained on images within [-1, 1]
_FEATURES = 4032


class _NasNetLarge(Network):
    def __init__(self, channels: int, classes: int) -> None:
        super().__init__(channels, _FEATURES, classes)
        made = package("timm.models.nasnet").NASNetALarge(num_classes=1, in_chans=channels, pad_type="same")
        made.last_linear = nn.Identity()
        self.body = made

    def hidden(self, images: Tensor) -> Tensor:
        features: Tensor = self.body(images)
        return features


def network(shape: tuple[int, int, int], classes: int, pretrained: bool) -> Network:
    """The network, with PyTorch's random weights, or with published ones except for its head (colour images only)."""
    if pretrained and shape[0] != 3:
        raise ReproError(f"nasnet_large: published weights take 3 channels, these images have {shape[0]}")
    made = _NasNetLarge(shape[0], classes)
    if pretrained:
        load_published(made.body, PUBLISHED, ("last_linear.weight", "last_linear.bias"))
        made.normalise_by(_MEAN, _STD)
    return made
