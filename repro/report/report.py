"""What a report is made from, read once: profile, claims, verdicts, evidence; and the figures it collects."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from repro import plugins
from repro.claims.catalogue import Claim, load_claims
from repro.claims.judge import verdicts_path
from repro.claims.verdicts import Verdict
from repro.data import describe
from repro.data.datasets import Facts
from repro.errors import ReproError
from repro.harness.evidence.fingerprint import evidence_path
from repro.harness.evidence.table import Table, read_table
from repro.harness.profile import Profile, load_profile
from repro.reading import first_problem
from repro.report.figures import Picture, png
from repro.report.markdown import image
from repro.report.places import UP, figure_file

_VERDICTS = TypeAdapter(list[Verdict])


def read_verdicts(root: Path, profile_name: str) -> list[Verdict] | None:
    """A profile's verdicts, None when it has none; ReproError when the file is not what the judge writes."""
    path = verdicts_path(root, profile_name)
    try:
        return _VERDICTS.validate_python(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise ReproError(f"{path}: {first_problem(error)}") from None
    except ValueError as error:
        raise ReproError(f"{path}: not a list of verdicts ({error})") from None


@dataclass
class Report:
    """One profile's report in the making; everything it may look at."""

    root: Path
    profile: Profile
    claims: Mapping[str, Claim] = field(default_factory=load_claims)
    pictures: dict[str, Picture] = field(default_factory=dict)

    @classmethod
    def of(cls, root: Path, profile_name: str) -> "Report":
        """The report of the profile of that name."""
        return cls(root, load_profile(profile_name, root))

    @property
    def folder(self) -> Path:
        """Where the report, its evidence and its figures lie."""
        return self.root / "reports" / self.profile.name

    @cached_property
    def verdicts(self) -> list[Verdict] | None:
        """The verdicts as committed, in their order."""
        return read_verdicts(self.root, self.profile.name)

    @cached_property
    def tables(self) -> dict[str, Table]:
        """The evidence that is there, by experiment; a table without rows counts as not there."""
        found = sorted((self.folder / "evidence").glob("*.csv"))
        tables = {
            path.stem: read_table(evidence_path(self.root, self.profile.name, path.stem)) for path in found
        }
        return {name: table for name, table in tables.items() if len(table)}

    @cached_property
    def provenance(self) -> dict[str, dict[str, Any]]:
        """By experiment, what its provenance file says; experiments without one are left out."""
        found: dict[str, dict[str, Any]] = {}
        for path in sorted((self.folder / "evidence").glob("*.provenance.json")):
            try:
                content = json.loads(path.read_text(encoding="utf-8"))
            except ValueError as error:
                raise ReproError(f"{path}: not valid JSON ({error})") from None
            if not isinstance(content, dict):
                raise ReproError(f"{path}: an object is wanted, not {type(content).__name__}")
            found[path.name.removesuffix(".provenance.json")] = content
        return found

    @property
    def left_out(self) -> dict[str, str]:
        """By experiment of the profile's papers that it does not run, the reason."""
        return self.profile.left_out

    @cached_property
    def data(self) -> Facts:
        """Shape, classes and number of images of the profile's dataset."""
        return describe(self.profile.data.name, self.profile.data.options, self.root)

    def experiments(self) -> list[str]:
        """Every experiment of the profile's papers, and those of the profile and of the evidence, each once."""
        others = self.profile.leaves_out.keys() - self.left_out.keys()
        every = [*plugins.names("experiment"), *self.profile.experiments, *self.left_out, *self.tables]
        return [name for name in dict.fromkeys(every) if name not in others]

    def experiment_title(self, experiment: str) -> str:
        """First line of what the experiment's file says it is; its name where there is no such file."""
        if experiment not in plugins.names("experiment"):
            return experiment.replace("_", " ")
        return plugins.title("experiment", experiment)

    def picture(self, file: str, figure: Any, description: str, *, up: str = UP) -> str:
        """Keep a figure under ``figures/<file>.png``; returns the Markdown that shows it.

        ``up`` is the way from the page to the profile's folder: of an experiment's page, unless it is given.
        """
        if file in self.pictures:
            raise ValueError(f"two figures are called {file}")
        self.pictures[file] = Picture(f"{file}.png", png(figure), description)
        return image(description, f"{up}{figure_file(file)}")
