"""Published weights, read from safetensors alone: nothing that could execute is ever loaded."""

from collections.abc import Sequence
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from repro.errors import ReproError

_FILE = "model.safetensors"


def load_published(body: nn.Module, repository: str, head: Sequence[str]) -> None:
    """Load weights of a repository of the Hugging Face hub into ``body``, except for those of its ``head``.

    Every other name and shape has to agree. Raises ReproError rather than silently leaving random weights.
    """
    weights = _read(repository)
    missing = [name for name in head if name not in weights]
    body_weights = {name: tensor for name, tensor in weights.items() if name not in head}
    try:
        if missing:
            raise RuntimeError(f"no {missing[0]}")
        body.load_state_dict(body_weights, strict=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise ReproError(f"{repository}: its weights do not fit this architecture: {reason}") from error


def download(repository: str) -> Path:
    """The file of weights, from huggingface_hub's cache or else the hub (HF_ENDPOINT names a mirror).

    A cached file is not requested again: every model starts from it, even without a network connection.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(repository, _FILE, local_files_only=True))
    except LocalEntryNotFoundError:
        # This fails at once if the hub is out of reach; the download itself would retry for half a minute.
        get_hf_file_metadata(hf_hub_url(repository, _FILE))
        return Path(hf_hub_download(repository, _FILE))


def _read(repository: str) -> dict[str, Tensor]:
    try:
        path = download(repository)
    except ImportError as error:
        raise ReproError(
            f"published weights need the package {error.name}: pip install -c constraints.txt -e '.[large]'"
        ) from error
    except Exception as error:  # the errors of several libraries: no network, no such file, a full disk
        reason = " ".join(str(error).split())[:200]
        raise ReproError(
            f"{repository}: its published weights cannot be downloaded ({reason}); set `pretrained: false` to start "
            "from random ones, or HF_ENDPOINT to a mirror"
        ) from error
    try:
        weights: dict[str, Tensor] = load_file(path)
    except (SafetensorError, OSError) as error:
        raise ReproError(f"{repository}: {path.name} is not readable safetensors: {error}") from error
    return weights
