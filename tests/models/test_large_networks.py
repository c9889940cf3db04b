"""The papers' architectures: published sizes, timm's wiring, and weights that are loaded or refused, never made up."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from repro import plugins
from repro.errors import ReproError
from repro.models import _published as networks_published
from repro.models._networks import prepared
from repro.models._torchvision import package
from repro.training.engines import network as engine

CPU = torch.device("cpu")
COLOUR = (3, 32, 32)
PUBLISHED = {"resnet50": ("fc.weight", "fc.bias"), "nasnet_large": ("last_linear.weight", "last_linear.bias")}


def architecture(name: str) -> Any:
    return plugins.load("architecture", name)


# With 1000 classes: torchvision's and timm's own documentation; Zoph et al. 2018, table 2, for the mobile one.
@pytest.mark.parametrize(
    ("name", "parameters", "width"),
    [("resnet50", 25_557_032, 2048), ("nasnet_large", 88_753_150, 4032), ("nasnet_mobile", 5_289_978, 1056)],
)
@pytest.mark.usefixtures("large")
def test_the_sizes_are_the_published_ones(name: str, parameters: int, width: int) -> None:
    assert parameters == architecture(name).PARAMETERS
    with torch.device("meta"):
        network = architecture(name).network((3, 224, 224), 1000, False)
        assert sum(p.numel() for p in network.parameters()) == parameters
        assert network.eval().hidden(torch.empty(2, 3, 224, 224)).shape == (2, width)
        assert network.head.in_features == width


@pytest.mark.parametrize("name", ["resnet50", "nasnet_mobile"])
@pytest.mark.parametrize("shape", [COLOUR, (1, 32, 32)])
@pytest.mark.usefixtures("large")
def test_small_images_run_natively_and_gradients_reach_every_parameter(
    name: str, shape: tuple[int, int, int]
) -> None:
    network = architecture(name).network(shape, 5, False)
    logits = network.head(network.hidden(torch.randn(3, *shape)))
    assert logits.shape == (3, 5)
    logits.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.usefixtures("large")
def test_nasnet_large_runs_on_small_images() -> None:
    network = architecture("nasnet_large").network(COLOUR, 5, False).eval()
    with torch.no_grad():
        hidden = network.hidden(torch.randn(1, *COLOUR))
    assert hidden.shape == (1, 4032)
    assert (hidden >= 0).all()
    assert hidden.isfinite().all()


@pytest.mark.usefixtures("large")
def test_nasnet_mobile_is_wired_as_timms_large_one() -> None:
    """With six cells a stage and the same weights the two are one network."""
    stem, filters, cells = 8, 8, 6
    theirs = package("timm.models.nasnet").NASNetALarge(
        num_classes=5, stem_size=stem, num_features=24 * filters, pad_type="same"
    )
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight.data, module.bias.data, module.running_mean, module.running_var):
                assert isinstance(tensor, Tensor)
                tensor.uniform_(0.5, 1.5)
    ours = architecture("nasnet_mobile").NasNetMobile(3, 5, stem, filters, cells)
    renamed = {}
    for name, tensor in theirs.state_dict().items():
        first, _, rest = name.partition(".")
        kind, _, number = first.rpartition("_")
        if kind == "cell":
            rest = f"{int(number) // cells}.{int(number) % cells}.{rest}"
        elif kind == "reduction_cell":
            rest = f"{number}.{rest}"
        place = {"cell": "stages", "reduction_cell": "reductions", "cell_stem": f"stem_{number}"}.get(
            kind, first
        )
        renamed[f"{place}.{rest}".replace("conv0.conv", "conv0.0").replace("conv0.bn", "conv0.1")] = tensor
    renamed |= {f"head.{n}": renamed.pop(f"last_linear.{n}") for n in ("weight", "bias")}
    ours.load_state_dict(renamed | {"mean": ours.mean, "std": ours.std}, strict=True)
    images = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    # In training, normalisation keeps the images' share of what comes out from fading, layer by layer.
    torch.testing.assert_close(ours.double().head(ours.hidden(images)), theirs.double()(images))


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.usefixtures("large")
def test_all_names_of_the_published_file_but_the_heads_are_the_bodys(name: str) -> None:
    with torch.device("meta"):
        made = architecture(name).network((3, 224, 224), 10, False)
        whole = {
            "resnet50": lambda: package("torchvision.models").resnet50(),
            "nasnet_large": lambda: package("timm.models.nasnet").nasnetalarge(),
        }[name]()
    assert made.body.state_dict().keys() | set(PUBLISHED[name]) == whole.state_dict().keys()


def published_resnet50(path: Path) -> dict[str, Tensor]:
    """A stand-in for the published file: all names and shapes of it, other numbers."""
    generator = torch.Generator().manual_seed(0)
    weights = {}
    for name, tensor in package("torchvision.models").resnet50().state_dict().items():
        drawn = torch.rand(tensor.shape, generator=generator)
        # Kernels small enough, and statistics positive, so that nothing overflows.
        drawn = drawn / 50 - 0.01 if tensor.dim() > 1 else drawn + 0.5
        weights[name] = drawn if tensor.is_floating_point() else tensor
    save_file(weights, path)
    return weights


@pytest.mark.usefixtures("large")
def test_published_weights_are_found_where_the_hubs_client_keeps_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    kept = tmp_path / "models--timm--resnet50.tv_in1k"
    commit = "0" * 40
    (kept / "snapshots" / commit).mkdir(parents=True)
    (kept / "refs").mkdir()
    (kept / "refs" / "main").write_text(commit)
    weights = published_resnet50(kept / "snapshots" / commit / "model.safetensors")
    models = engine.fresh(architecture("resnet50"), COLOUR, 5, [1, 2], True, CPU)
    stored = engine.state(models)
    for name, tensor in weights.items():
        if not name.startswith("fc."):
            assert torch.equal(stored[f"body.{name}"], torch.stack([tensor, tensor]))
    assert stored["head.weight"].shape == (2, 5, 2048)
    assert not torch.equal(stored["head.weight"][0], stored["head.weight"][1])
    torch.testing.assert_close(stored["mean"][0], torch.tensor([0.485, 0.456, 0.406]))
    torch.testing.assert_close(stored["std"][1], torch.tensor([0.229, 0.224, 0.225]))
    images = torch.randint(0, 256, (4, 3, 32, 32), generator=torch.Generator().manual_seed(1)) / 255
    indices = torch.arange(4).expand(2, -1)
    pool = engine.pool_of(images, CPU)
    logits = engine.logits_of(models, pool, indices)
    # Weights that are restored bring their normalisation along.
    again = engine.restored(architecture("resnet50"), COLOUR, 5, stored, CPU)
    assert torch.equal(engine.logits_of(again, pool, indices), logits)
    normalised = (images - stored["mean"][0].view(3, 1, 1)) / stored["std"][0].view(3, 1, 1)
    torch.testing.assert_close(prepared(again.network, pool, 0), normalised)


class Body(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 3)


def load_from(path: Path, monkeypatch: pytest.MonkeyPatch) -> Body:
    monkeypatch.setattr(networks_published, "download", lambda repository: path)
    body = Body()
    networks_published.load_published(body, "somebody/net", ("fc.weight", "fc.bias"))
    return body


def test_a_file_that_does_not_fit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.safetensors"
    fits = {"layer.weight": torch.ones(3, 2), "layer.bias": torch.ones(3)}
    head = {"fc.weight": torch.ones(9, 3), "fc.bias": torch.ones(9)}
    save_file(fits | head, path)
    assert torch.equal(load_from(path, monkeypatch).layer.weight, torch.ones(3, 2))
    wrong = [
        fits,
        head | {"layer.weight": torch.ones(3, 2)},
        fits | head | {"other": torch.ones(1)},
        fits | head | {"layer.bias": torch.ones(4)},
    ]
    for tensors in wrong:
        save_file(tensors, path)
        with pytest.raises(
            ReproError, match=r"^somebody/net: its weights do not fit this architecture: "
        ) as raised:
            load_from(path, monkeypatch)
        assert "\n" not in str(raised.value)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(ReproError, match=r"^somebody/net: model.safetensors is not readable safetensors: "):
        load_from(path, monkeypatch)


def test_a_pickle_is_never_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.safetensors"
    torch.save({"layer.weight": torch.ones(3, 2)}, path)
    with pytest.raises(ReproError, match="not readable safetensors"):
        load_from(path, monkeypatch)


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.usefixtures("large")
def test_weights_that_cannot_be_downloaded_are_one_line_that_says_what_to_set(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(repository: str) -> Path:
        raise ConnectionError("no route\nto host")

    monkeypatch.setattr(networks_published, "download", unreachable)
    if name == "nasnet_large":  # nothing of its size is needed to be refused
        empty = SimpleNamespace(body=nn.Identity())
        monkeypatch.setattr(architecture(name), "_NasNetLarge", lambda channels, classes: empty)
    with pytest.raises(ReproError) as raised:
        engine.fresh(architecture(name), COLOUR, 5, [1], True, CPU)
    message = str(raised.value)
    assert message.startswith(
        f"timm/{'resnet50.tv_in1k' if name == 'resnet50' else 'nasnetalarge.tf_in1k'}: "
    )
    assert "no route to host" in message
    assert "set `pretrained: false`" in message
    assert "\n" not in message


@pytest.mark.usefixtures("large")
def test_weights_in_the_cache_are_not_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub.errors import LocalEntryNotFoundError

    cached, asked = tmp_path / "model.safetensors", []

    def from_hub(repository: str, name: str, local_files_only: bool = False) -> str:
        if local_files_only and not cached.exists():
            raise LocalEntryNotFoundError("not in the cache")
        if not local_files_only:
            asked.append("content")
            cached.touch()
        return str(cached)

    def reach(url: str) -> None:
        asked.append(url)
        if len(asked) == 1:
            raise ConnectionError("no route to host")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", from_hub)
    monkeypatch.setattr("huggingface_hub.get_hf_file_metadata", reach)
    # Out of reach: said by the one quick question, before a download that would try again and again.
    with pytest.raises(ConnectionError, match="no route to host"):
        networks_published.download("somebody/net")
    assert networks_published.download("somebody/net") == cached
    url = asked[0]
    assert url.endswith("/somebody/net/resolve/main/model.safetensors")
    assert asked == [url, url, "content"]
    assert networks_published.download("somebody/net") == cached
    assert asked == [url, url, "content"]


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_weights_take_colour_images(name: str) -> None:
    with pytest.raises(ReproError, match=f"^{name}: published weights take 3 channels, these images have 1$"):
        architecture(name).network((1, 32, 32), 5, True)


@pytest.mark.parametrize("name", ["nasnet_mobile", "nasnet_small", "resnet_small", "fast_cnn"])
def test_where_none_are_published_asking_for_them_is_refused(name: str) -> None:
    with pytest.raises(ReproError, match=rf"^{name}: .*; set `pretrained: false`$"):
        architecture(name).network(COLOUR, 5, True)


@pytest.mark.parametrize("name", ["resnet50", "nasnet_large", "nasnet_mobile", "nasnet_small"])
def test_without_the_extra_an_architecture_says_what_to_install(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in [m for m in sys.modules if m.partition(".")[0] in ("torchvision", "timm")]:
        monkeypatch.delitem(sys.modules, module)
    for missing in ("torchvision", "timm"):
        monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ReproError, match=r"needs the package torchvision: pip install .* -e '\.\[large\]'$"):
        architecture(name).network(COLOUR, 5, False)
