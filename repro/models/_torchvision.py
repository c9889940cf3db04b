"""The packages of the extra ``large``, torchvision and timm, imported where an architecture needs them.

On import, torchvision registers fake versions of its own compiled operators. With a PyTorch without CUDA its compiled
library does not load, so that ``nms`` and ``qnms`` do not exist and the import fails, although no classification model
calls them. Declaring the two, without a body, is enough.
"""

import importlib
from types import ModuleType

import torch

from repro.errors import ReproError

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_DECLARED: list[
    torch.library.Library
] = []  # operators exist for as long as the library object that declares them


def package(name: str) -> ModuleType:
    """A module of torchvision or timm (which imports torchvision); raises ReproError if it is not installed."""
    try:
        _import("torchvision")
        return _import(name)
    except ModuleNotFoundError as error:
        raise ReproError(
            f"this architecture needs the package {error.name}: pip install -c constraints.txt -e '.[large]'"
        ) from error


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except RuntimeError as error:
        if "operator torchvision::nms does not exist" not in str(error):
            raise
    library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    for operator in ("nms", "qnms"):
        library.define(operator + _SCHEMA)  # type: ignore[no-untyped-call]
    _DECLARED.append(library)
    return importlib.import_module(name)
