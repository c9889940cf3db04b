"""Only what is word for word the same elsewhere, and names the same things, counts as moved."""

from pathlib import Path

import pytest

from repro.harness.evidence import definitions
from repro.harness.evidence.moved import index, moved

BEFORE = {
    "losses": "SCALE = 2\n\ndef loss(x):\n    return SCALE * x\n",
    "work": """
from repro import losses
from repro.losses import loss

def train(x):
    from repro.losses import SCALE
    return loss(x) + losses.SCALE + SCALE

def other(x):
    return x

PHASE = ("train", "repro.work:train", "repro.losses")
""",
}
AFTER = {
    "science.losses": BEFORE["losses"],
    "papers.work": BEFORE["work"]
    .replace("repro.work", "repro.papers.work")
    # as an import is written where the package has another place
    .replace("from repro import losses", "from repro.science import losses")
    .replace("repro.losses", "repro.science.losses"),
}


def package(folder: Path, modules: dict[str, str]) -> Path:
    root = folder / "repro"
    for name, source in modules.items():
        path = root.joinpath(*name.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")
    for place in [root, *(path for path in root.rglob("*") if path.is_dir())]:
        (place / "__init__.py").touch()
    return root


def found(tmp_path: Path, after: dict[str, str]) -> dict[str, str]:
    own = definitions.PACKAGE
    before, later = package(tmp_path / "before", BEFORE), package(tmp_path / "after", after)
    result = moved(index(before), index(later))
    assert own == definitions.PACKAGE
    return result


def test_everything_that_only_lies_elsewhere_is_moved(tmp_path: Path) -> None:
    result = found(tmp_path, AFTER)
    for name in ("train", "other", "PHASE"):
        assert result[f"repro.work:{name}"] == f"repro.papers.work:{name}"
        assert result[f"repro.papers.work:{name}"] == f"repro.work:{name}"
    assert result["repro.losses:loss"] == "repro.science.losses:loss"


@pytest.mark.parametrize(
    ("module", "old", "new", "changed"),
    [
        ("papers.work", "return x\n", "return x + 1\n", {"other"}),
        ("papers.work", "return loss(x) +", "return loss(x) -", {"train"}),
        ("papers.work", '("train", ', '("retrain", ', {"PHASE"}),
        # Another function of the same name is not the one that was named before.
        ("papers.work", "from repro.science.losses import loss", "from repro.third import loss", {"train"}),
        ("papers.work", '"repro.papers.work:train"', '"repro.third:train"', {"PHASE"}),
    ],
)
def test_what_says_or_names_something_else_is_not(
    tmp_path: Path, module: str, old: str, new: str, changed: set[str]
) -> None:
    third = {"third": "def loss(x):\n    return 0\n\ndef train(x):\n    return x\n"}
    assert old in AFTER[module]
    known = BEFORE | third
    after = AFTER | third | {module: AFTER[module].replace(old, new)}
    before, later = package(tmp_path / "before", known), package(tmp_path / "after", after)
    result = moved(index(before), index(later))
    for name in ("train", "other", "PHASE"):
        assert (f"repro.papers.work:{name}" in result) == (name not in changed), name


def test_what_is_new_or_gone_is_not(tmp_path: Path) -> None:
    after = {"papers.work": "def other(x):\n    return x\n\ndef fresh(x):\n    return x\n"}
    result = found(tmp_path, after)
    assert "repro.papers.work:other" in result
    assert "repro.papers.work:fresh" not in result
    assert "repro.losses:loss" not in result
