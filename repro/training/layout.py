"""Where everything of one architecture lies in a compiled kernel's memory (``repro.kernel``)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from repro.kernel import LANES
from repro.kernel import passes as kernel
from repro.models import Block, Convolution
from repro.training.operations import KERNEL

Array = npt.NDArray[Any]


def padded(columns: int) -> int:
    """Columns in memory: rounded up to a multiple of the kernel's vector length."""
    return -(-columns // LANES) * LANES


@dataclass(frozen=True)
class Place:
    """One named tensor (rows, columns) in ``params`` or ``running``, ``stride`` numbers from row to row."""

    buffer: str
    at: int
    rows: int
    columns: int

    def view(self, memory: Any) -> Array:
        """The tensor itself, not a copy."""
        flat: Array = getattr(memory, self.buffer)
        stride = padded(self.columns)
        return flat[self.at : self.at + self.rows * stride].reshape(self.rows, stride)[:, : self.columns]


@dataclass(frozen=True)
class Image:
    """Activations as a layer reads them: ``size`` numbers per sample, ``pixel`` from one position to the next."""

    at: int
    size: int
    height: int
    width: int
    channels: int
    pixel: int

    @property
    def features(self) -> int:
        """How many numbers of a sample are used."""
        return self.height * self.width * self.channels

    def view(self, buffer: Array, batch: int) -> Array:
        """The first samples' numbers (batch, features); a copy where they are padded."""
        rows = buffer[self.at : self.at + batch * self.size].reshape(batch, self.size)
        if self.pixel == self.channels or self.height * self.width == 1:
            return rows[:, : self.features]
        return rows.reshape(batch, -1, self.pixel)[:, :, : self.channels].reshape(batch, self.features)

    def padded(self, values: Array) -> Array:
        """Samples' numbers (batch, features) as laid out in memory, (batch, size), padded with zeros."""
        rows = np.zeros((len(values), self.size // self.pixel, self.pixel), values.dtype)
        rows[:, :, : self.channels] = values.reshape(len(values), -1, self.channels)
        return rows.reshape(len(values), self.size)

    def put(self, buffer: Array, values: Array) -> None:
        """Write samples' numbers (batch, features) to their places."""
        buffer[self.at : self.at + len(values) * self.size] = self.padded(values).ravel()


class Layout:
    """Geometry and sizes for batches of at most ``capacity`` images (channels, height, width) = ``shape``.

    Attributes: ``net`` and ``tables`` in the kernel's format; ``places``, a model's tensors by their names in a
    ``Stack``; ``hidden``, the last representation; ``classes``; ``sizes`` of the kernel's buffers by name.
    """

    def __init__(
        self, blocks: Sequence[Block], shape: tuple[int, int, int], classes: int, capacity: int
    ) -> None:
        self.capacity, self.classes = capacity, classes
        self.places: dict[str, Place] = {}
        self.sizes = dict.fromkeys(("params", "running", "acts", "scratch"), 0)
        self._tables: list[Array] = []
        self._entries: list[list[int]] = []
        self.learned = self._take("params", LANES)  # a loss's own parameters
        channels, height, width = shape
        if blocks and isinstance(blocks[0], Convolution):
            size = (height + 2) * (width + 2) * channels
            x = Image(self._take("acts", capacity * size), size, height, width, channels, channels)
        else:
            flat = channels * height * width
            x = Image(self._take("acts", capacity * padded(flat)), padded(flat), 1, 1, flat, padded(flat))
        for position, block in enumerate(blocks):
            follower = blocks[position + 1] if position + 1 < len(blocks) else None
            x = self._layer(str(position), block, x, int(isinstance(follower, Convolution)))
        self._layer("head", None, x, 0)
        self.hidden = x
        self.net, self.tables = np.array(self._entries, np.int64), np.concatenate(self._tables)
        stride = padded(capacity)
        self.sizes["pairs"] = capacity * x.size + x.size * stride + 2 * capacity * stride
        self.sizes["grads"] = self.sizes["acts"]
        self.ramp = max(x.size, stride, *(entry[kernel.OUTPUTS] for entry in self._entries))

    def positions(self, names: Sequence[str]) -> Array:
        """The offsets in ``params`` of some tensors' numbers, one tensor after another, row by row."""
        places = [self.places[name] for name in names]
        return np.concatenate(
            [
                (p.at + np.arange(p.rows)[:, None] * padded(p.columns) + np.arange(p.columns)).ravel()
                for p in places
            ]
        )

    def _take(self, buffer: str, size: int) -> int:
        self.sizes[buffer] += size
        return self.sizes[buffer] - size

    def _table(self, values: Array) -> int:
        at = sum(map(len, self._tables))
        self._tables.append(values.astype(np.int64).ravel())
        return at

    def _tensor(self, buffer: str, name: str, rows: int, columns: int) -> int:
        at = self._take(buffer, rows * padded(columns))
        self.places[name] = Place(buffer, at, rows, columns)
        return at

    def _layer(self, name: str, block: Block | None, x: Image, border: int) -> Image:
        """Lay out one layer, the head if there is no block; returns what the next layer reads."""
        samples = np.arange(self.capacity)[:, None]
        if isinstance(block, Convolution):
            outputs, row = block.channels, (x.width + 2) * x.pixel
            height, width = (x.height - 1) // block.stride + 1, (x.width - 1) // block.stride + 1
            i, j = np.divmod(np.arange(height * width), width)
            starts = block.stride * (i * row + j * x.pixel)
            i, j = np.divmod(np.arange(KERNEL * KERNEL), KERNEL)
            taps, tap_width = i * row + j * x.pixel, x.channels
        else:
            outputs = block.features if block else self.classes
            height = width = 1
            starts, taps, tap_width = np.zeros(1), np.zeros(1), x.features
            if x.pixel != x.channels and x.height * x.width > 1:
                taps, tap_width = np.arange(x.height * x.width) * x.pixel, x.channels
        normalised = isinstance(block, Convolution) and block.normalised
        inputs, columns, positions = len(taps) * tap_width, padded(outputs), height * width
        size = (height + 2 * border) * (width + 2 * border) * columns
        i, j = np.divmod(np.arange(positions), width)
        ends = ((i + border) * (width + 2 * border) + j + border) * columns
        every = self.capacity * positions
        at = self._take("acts", self.capacity * size) if block else 0
        entry = {
            kernel.TAPS: len(taps),
            kernel.WIDTH: tap_width,
            kernel.INPUTS: inputs,
            kernel.OUTPUTS: outputs,
            kernel.PADDED: columns,
            kernel.POSITIONS: positions,
            kernel.NORMALISED: int(normalised),
            kernel.WEIGHT: self._tensor("params", f"{name}.weight", inputs, outputs),
            kernel.BIAS: self._tensor("params", f"{name}.{'shift' if normalised else 'bias'}", 1, outputs),
            kernel.X: x.at,
            kernel.X_SIZE: x.size,
            kernel.X_ROWS: self._table(samples * x.size + starts),
            kernel.SUMMED: self._table(taps[:, None] + np.arange(tap_width)),
            kernel.TAP_AT: self._table(taps),
            kernel.NOWHERE: self._table(np.zeros(every)),
            kernel.Y: at,
            kernel.Y_ROWS: self._table(samples * size + ends),
            kernel.DENSE: self._table(np.arange(every) * columns),
            kernel.W_ROWS: self._table(np.arange(inputs) * columns),
            kernel.Z: self._take("scratch", every * columns),
            kernel.TURNED: self._take("scratch", len(taps) * columns * padded(tap_width)),
            kernel.CAPACITY: self.capacity,
            kernel.LEARNED: self.learned,
        }
        if normalised:
            entry[kernel.SCALE] = self._tensor("params", f"{name}.scale", 1, outputs)
            entry[kernel.HAT] = self._take("scratch", every * columns)
            entry[kernel.RUNNING] = self._tensor("running", f"{name}.running_mean", 1, outputs)
            self._tensor("running", f"{name}.running_var", 1, outputs)
            self._take("running", 2 * columns)  # the batch's own mean and variance
        self._entries.append([entry.get(column, 0) for column in range(kernel.COLUMNS)])
        return Image(at, size, height, width, outputs, columns)


@lru_cache(maxsize=64)
def layout(blocks: tuple[Block, ...], shape: tuple[int, int, int], classes: int, capacity: int) -> Layout:
    """The layout of an architecture."""
    return Layout(blocks, shape, classes, capacity)
