"""One test per claim and profile: the verdict on committed evidence is the expected one."""

import pytest

from repro.claims.gate import Gate


def test_claim(gate: Gate, claim_id: str) -> None:
    failure = gate.failure(claim_id)
    if failure:
        pytest.fail(failure, pytrace=False)
