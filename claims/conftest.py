"""Which profiles `pytest claims/` judges: those with a file of expected verdicts, or those named."""

import sys

import pytest

from repro.claims.gate import Gate, expected_profiles
from repro.errors import ReproError

GATES = pytest.StashKey[list[Gate]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--profile",
        action="append",
        help="judge this profile (may be repeated); default: each that has claims/expected/<profile>.yaml",
    )


def pytest_configure(config: pytest.Config) -> None:
    try:
        profiles = config.getoption("--profile") or expected_profiles(config.rootpath)
        config.stash[GATES] = [Gate(config.rootpath, profile) for profile in profiles]
    except ReproError as error:
        raise pytest.UsageError(str(error)) from None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    cases = [(gate, claim_id) for gate in metafunc.config.stash[GATES] for claim_id in gate.ids]
    names = [f"{gate.profile_name}-{claim_id}" for gate, claim_id in cases]
    metafunc.parametrize(("gate", "claim_id"), cases, ids=names)


def pytest_xdist_auto_num_workers() -> int:
    """Judging takes seconds in one process, and starting others takes longer."""
    return 0


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hypothesis' plugin takes seconds to import all of Hypothesis for its summary; no claim uses it."""
    plugins = session.config.pluginmanager
    if "hypothesis" not in sys.modules and plugins.has_plugin("hypothesispytest"):
        plugins.unregister(name="hypothesispytest")
