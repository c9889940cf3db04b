"""What all tests share."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The slowest file comes first: one process runs it while the others do the rest."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
