import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

# The plain loop of training is also what detection's oracles start from.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "training"))


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
