"""What the judge must know of a profile: which experiments it runs and which of the papers' settings it has."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class ProfileFacts:
    """Facts of a profile that decide whether a claim can be judged there.

    experiments: those it runs. published_settings: "paper/dataset" for each setting whose data and models it
    uses, so that published levels apply. not_applicable: claim ids it cannot test, each with the reason.
    """

    name: str
    experiments: frozenset[str]
    published_settings: frozenset[str] = frozenset()
    not_applicable: Mapping[str, str] = field(default_factory=dict)


def profile_facts(name: str) -> ProfileFacts:
    """Facts of the profile of that name; ReproError when there is none or its file is wrong."""
    from repro.profiles import load_profile

    profile = load_profile(name)
    return ProfileFacts(
        name=name,
        experiments=frozenset(profile.experiments),
        published_settings=frozenset(profile.published_settings),
        not_applicable=dict(profile.not_applicable),
    )
