"""Where a report's pages, figures and tables lie, as links from the profile's folder; and the way back to it.

A page in a subfolder puts ``UP`` before such a link.
"""

FRONT = "README.md"
CLAIMS = "claims.md"
SETUP = "setup.md"
EXPERIMENTS = "experiments"
FIGURES = "figures"
UP = "../"


def claim_place(claim_id: str) -> str:
    """A claim's own place."""
    return f"{CLAIMS}#{claim_id}"


def experiment_page(experiment: str) -> str:
    """An experiment's page."""
    return f"{EXPERIMENTS}/{experiment}.md"


def figure_file(name: str) -> str:
    """A figure's file."""
    return f"{FIGURES}/{name}.png"
