"""What papers add to a report beside their experiments' sections: the file ``report.py`` in a paper's folder.

Each of these functions is optional, and gives Markdown blocks of a report: ``departures``, what a profile does
differently from the paper; ``pictures``, what its attacks look like on the profile's data; ``contradictions``, where
the paper disagrees with itself.
"""

import importlib
from typing import Literal

from repro import plugins
from repro.report.report import Report

Addition = Literal["departures", "pictures", "contradictions"]


def additions(report: Report, what: Addition) -> list[str]:
    """The blocks of every paper that has any."""
    blocks: list[str] = []
    for name in plugins.names("paper"):
        if plugins.file_of("paper", name).with_name("report.py").is_file():
            module = importlib.import_module(plugins.module_name("paper", name) + ".report")
            if hasattr(module, what):
                blocks += getattr(module, what)(report)
    return blocks
