"""What is listed by hand, because a tool reads it from there, lists every piece that there is."""

import re
from pathlib import Path

import pytest
import yaml

from repro import plugins

ROOT = Path(__file__).resolve().parents[1]


def test_dvc_has_a_stage_for_every_experiment() -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    listed = stages["experiment"]["matrix"]["experiment"]
    assert sorted(listed) == list(plugins.names("experiment"))


@pytest.mark.parametrize("experiment", plugins.names("experiment"))
def test_the_readme_has_every_experiment(experiment: str) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.search(rf"^\|[^|]*`{experiment}`", readme, re.MULTILINE)
