"""What a profile is, said plainly: its data, and where its models start from."""

from repro.harness.profile import Profile
from repro.report.markdown import bullets, code, escape, link
from repro.report.places import SETUP, experiment_page
from repro.report.report import Report
from repro.report.wording import listing, name, sentence


def head(report: Report) -> list[str]:
    """The data's edition, where the weights come from, and, of a slice, what it is a slice of."""
    profile = report.profile
    slice_of = profile.slice_of
    facts = [f"Data: {_editions(report)}.", f"Models start from {_weights(profile)}."]
    if slice_of:
        rest = "it runs all of that profile's experiments"
        if report.left_out:
            rest = f"it leaves out some of its experiments ({link('which, and why', f'{SETUP}#left-out')})"
        facts.append(
            f"**A slice of profile {code(slice_of)}**: the same reproduction at a smaller size, not the whole of it; "
            f"{rest}."
        )
    return [bullets(facts)]


def left_out(report: Report) -> list[str]:
    """The experiments that the profile leaves out, each with the reason."""
    return [
        bullets(
            f"{link(escape(experiment.replace('_', ' ')), experiment_page(experiment))}: {sentence(reason)}"
            for experiment, reason in report.left_out.items()
        )
    ]


def _editions(report: Report) -> str:
    """The dataset with the edition that the evidence's provenance names; several where experiments differ."""
    profile = report.profile
    editions: dict[str, list[str]] = {}
    for experiment, content in report.provenance.items():
        data = content.get("data") or {}
        if variant := data.get("variant"):
            editions.setdefault(f"{data.get('name', profile.data.name)}, {variant}", []).append(experiment)
    if not editions:
        limit = f", {profile.data.limit:,} images" if profile.data.limit else ""
        return f"{escape(profile.data.name)}{limit}; no evidence names its edition yet"
    if len(editions) == 1:
        return escape(next(iter(editions)))
    return "; ".join(f"{escape(edition)} ({', '.join(map(code, of))})" for edition, of in editions.items())


def _weights(profile: Profile) -> str:
    """Where the models' weights come from, in words."""
    published_weights = [a for a in profile.architectures if profile.pretrained.get(a)]
    if not published_weights:
        return "**random weights**, not from published ones as in the paper"
    if len(published_weights) == len(profile.architectures):
        return "**published weights**, trained on other data, as in the paper"
    random = [a for a in profile.architectures if a not in published_weights]
    return (
        f"**published weights** ({listing([name(a) for a in published_weights])}), as in the paper, and **random "
        f"weights** ({listing([name(a) for a in random])})"
    )
