"""What stands beside a table on how it was made."""

from pathlib import Path

from repro.harness.evidence.provenance import provenance
from repro.harness.machine import processor


def test_it_names_the_processor_that_made_the_table(tmp_path: Path) -> None:
    made = provenance(tmp_path, None, [{"device": "cpu", "threads": 1, "workers": 2, "seconds": 1.0}])
    assert made["processor"] == processor()
