"""Images on the device as bytes, and batches of them drawn, flipped and moved there in one gather.

An image is stored as uint8 (h, w, c), 256 levels per channel. Image files have no more levels; a triggered image is
rounded to them too, as it would be in any file.
"""

import torch
from torch import Tensor

from repro.models._networks import LEVELS

_REACH = 16  # an image is translated by up to this fraction of its side


def quantised(images: Tensor) -> Tensor:
    """Images float (n, c, h, w) in [0, 1] as uint8 (n, h, w, c), rounded to the nearest level."""
    return images.mul(LEVELS).round_().to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def draws_for(augmentation: str, samples: int, generator: torch.Generator) -> Tensor | None:
    """Uniform numbers (samples, 3) that decide flip and translation of every sample; None if there is neither."""
    return None if augmentation == "none" else torch.rand(samples, 3, generator=generator)


def batch_of(pool: Tensor, indices: Tensor, augmentation: str, draws: Tensor | None) -> Tensor:
    """Images uint8 (B, h, w, c) of the pool, augmented as ``draws`` (B, 3) say.

    ``flip``: mirrored left to right with probability 1/2. ``translate``: moved by a whole number of pixels, uniform up
    to a sixteenth of its side (2 at 32) in each direction; uncovered pixels are filled by reflection. A trigger in the
    image moves along with it.
    """
    if draws is None:
        return pool[indices]
    height, width = pool.shape[1:3]
    count = len(indices)
    rows = torch.arange(height, device=pool.device).expand(count, -1)
    columns = torch.arange(width, device=pool.device).expand(count, -1)
    if augmentation == "flip+translate":
        rows = _mirrored(rows + _shift(draws[:, 1:2], height), height)
        columns = _mirrored(columns + _shift(draws[:, 2:3], width), width)
    columns = torch.where(draws[:, :1] < 0.5, width - 1 - columns, columns)
    return pool[indices[:, None, None], rows[:, :, None], columns[:, None, :]]


def _shift(draws: Tensor, side: int) -> Tensor:
    """Whole numbers (B, 1), uniform from -reach to reach, from uniform numbers."""
    reach = max(1, round(side / _REACH))
    return (draws * (2 * reach + 1)).floor().long().clamp_max(2 * reach) - reach


def _mirrored(positions: Tensor, side: int) -> Tensor:
    """Positions beyond an edge reflected at the outermost pixel."""
    return (side - 1) - ((side - 1) - positions.abs()).abs()
