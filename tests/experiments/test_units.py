"""Units: names, partition seeds and poison classes in step."""

from hypothesis import given
from hypothesis import strategies as st

from repro.harness.experiment import Unit, units


def test_units_take_consecutive_seeds_and_the_classes_in_turn() -> None:
    assert units(40, 5, 3) == [
        Unit("u000", 40, 0),
        Unit("u001", 41, 1),
        Unit("u002", 42, 2),
        Unit("u003", 43, 0),
        Unit("u004", 44, 1),
    ]


@given(st.integers(0, 10**6), st.integers(1, 60), st.integers(2, 12))
def test_one_more_unit_leaves_the_others_as_they_are(first: int, count: int, classes: int) -> None:
    among = units(first, count, classes)
    assert units(first, count + 1, classes)[:-1] == among
    assert len({unit.name for unit in among}) == len({unit.partition_seed for unit in among}) == count
