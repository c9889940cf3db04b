"""What the judge needs to know about a profile: which experiments it runs, and whether published levels apply."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from repro.claims.catalogue import Claim
from repro.harness.profile import load_profile


@dataclass(frozen=True)
class ProfileFacts:
    """Facts about a profile that decide whether a claim can be judged on it.

    experiments: those it runs. paper_dataset: its dataset when it uses a paper's data and models, so that published
    levels apply. not_applicable: ids of claims it cannot test, each with the reason. dataset: the data it uses.
    papers: those whose claims it is about, None for all.
    """

    name: str
    experiments: frozenset[str]
    paper_dataset: str | None = None
    not_applicable: Mapping[str, str] = field(default_factory=dict)
    dataset: str | None = None
    papers: frozenset[str] | None = None

    def among(self, claims: Mapping[str, Claim]) -> dict[str, Claim]:
        """Those of the claims that the profile is about."""
        return {
            name: claim for name, claim in claims.items() if self.papers is None or claim.paper in self.papers
        }


def profile_facts(root: Path, name: str) -> ProfileFacts:
    """Facts about the profile of that name; raises ReproError when it is unknown or its file is wrong."""
    profile = load_profile(name, root)
    return ProfileFacts(
        name=name,
        experiments=frozenset(profile.experiments),
        paper_dataset=profile.paper_dataset,
        not_applicable=dict(profile.not_applicable),
        dataset=profile.paper_dataset or profile.data.name,
        papers=None if profile.papers is None else frozenset(profile.papers),
    )
