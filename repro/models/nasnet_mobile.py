"""NASNet-A 4 @ 1056, NASNet-Mobile (Zoph et al. 2018), from timm's cells; h(x) is its 1056 averaged features.

Wired as timm wires its large one, with four normal cells per stage in place of six, 44 filters in place of 168 and a
stem of 32 in place of 96. No weights are published as safetensors, so it starts from random ones (truong2020 2.2
started from another library's). Without dropout. Images of any size from 32.
"""

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from repro.errors import ReproError
from repro.models._networks import Network
from repro.models._torchvision import package

ENGINE = "network"
PARAMETERS = 5_289_978  # for colour images and 1,000 classes
STEM, FILTERS, CELLS = 32, 44, 4
_EPSILON = 1e-3  # of all batch normalisation in NASNet


class NasNetMobile(Network):
    """``cells`` normal cells in each of three stages of ``filters``, twice and four times as many filters."""

    def __init__(
        self, channels: int, classes: int, stem: int = STEM, filters: int = FILTERS, cells: int = CELLS
    ) -> None:
        super().__init__(channels, 24 * filters, classes)
        parts = package("timm.models.nasnet")
        self.conv0 = nn.Sequential(
            nn.Conv2d(channels, stem, 3, stride=2, bias=False), nn.BatchNorm2d(stem, eps=_EPSILON)
        )
        self.stem_0 = parts.CellStem0(stem, num_channels=filters // 4, pad_type="same")
        self.stem_1 = parts.CellStem1(stem, num_channels=filters // 2, pad_type="same")
        stages, reductions = [], []
        # The channels of a stage's inputs: from the cell before last, and from the last.
        before, last = filters, 2 * filters
        for stage, width in enumerate((filters, 2 * filters, 4 * filters)):
            made: list[Any] = [parts.FirstCell(before, width // 2, last, width, "same")]
            before, last = last, 6 * width
            for _ in range(cells - 1):
                made.append(parts.NormalCell(before, width, last, width, "same"))
                before, last = last, 6 * width
            stages.append(nn.ModuleList(made))
            if stage < 2:
                reduction = parts.ReductionCell0 if stage == 0 else parts.ReductionCell1
                reductions.append(reduction(before, 2 * width, last, 2 * width, "same"))
                last = 8 * width
        self.stages, self.reductions = nn.ModuleList(stages), nn.ModuleList(reductions)

    def hidden(self, images: Tensor) -> Tensor:
        """The features after the last cell's rectifier, averaged over positions."""
        stem = self.conv0(images)
        before = self.stem_0(stem)
        x = self.stem_1(stem, before)
        for stage, cells in enumerate(self.stages):
            for cell in cells:  # type: ignore[attr-defined]
                before, x = x, cell(x, before)
            if stage < len(self.reductions):
                # The cell after a reduction also reads the input of the last normal cell before it.
                x = self.reductions[stage](x, before)
        return F.relu(x).mean((2, 3))


def network(shape: tuple[int, int, int], classes: int, pretrained: bool) -> Network:
    """The network, with PyTorch's random weights."""
    if pretrained:
        raise ReproError(
            "nasnet_mobile: its weights are not published as safetensors; set `pretrained: false`"
        )
    return NasNetMobile(shape[0], classes)
