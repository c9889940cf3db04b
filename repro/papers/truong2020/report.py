"""What truong2020 adds to a report, beside its experiments' sections."""

from repro.papers.truong2020.against_itself import blocks as contradictions
from repro.papers.truong2020.departures import departures
from repro.papers.truong2020.trigger_pictures import blocks as pictures

__all__ = ["contradictions", "departures", "pictures"]
