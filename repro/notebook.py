"""For notebooks and scripts: data, a backdoor attack, and a verdict, in one line each.

``from repro import notebook``, then ``notebook.load("digits")``, ``notebook.backdoored("square")``,
``notebook.verdict("truong-24")``. ``root`` is the project's folder, the one with ``params.yaml``.
"""

from pathlib import Path

from repro.claims.catalogue import load_claim
from repro.claims.facts import profile_facts
from repro.claims.judge import judge, read_tables
from repro.claims.verdicts import Verdict
from repro.data import Dataset, load_dataset
from repro.harness import process
from repro.harness.evidence.table import Row
from repro.harness.experiment import Record, Unit, units
from repro.harness.profile import load_profile
from repro.harness.runs import Backdoor, Fleet
from repro.papers.backdoors.grid import backdoor_row, backdoor_run, clean_floor, clean_runs
from repro.papers.backdoors.work import train_fleet


def load(dataset: str, *, limit: int | None = None, root: Path = Path()) -> Dataset:
    """A dataset by its piece's name, or its first ``limit`` images in a fixed random order, as arrays."""
    return load_dataset(dataset, root, limit)


def backdoored(
    trigger: str,
    *,
    profile: str = "digits",
    architecture: str | None = None,
    poison_rate: float | None = None,
    count: int = 5,
    root: Path = Path(),
) -> list[Row]:
    """Train ``count`` backdoored models and their clean ones; one row per backdoored model, as in evidence.

    Among its columns are ``asr``, ``clean_model_asr`` (its floor) and ``clean_accuracy``. What is not named is the
    profile's: architecture (its first), poison rate in (0, 1], recipe, options of the trigger. Partitions are of the
    tuning's seeds, so that a trial never sees those of the evidence; nothing is written. Raises ReproError for an
    unknown name.
    """
    chosen = load_profile(profile, root)
    model, rate = architecture or chosen.architectures[0], poison_rate or chosen.poison_rate
    among = units(chosen.seeds.tuning, count, chosen.classes())

    def attack(unit: Unit) -> Backdoor:
        return Backdoor(unit.poison_class, chosen.trigger(trigger), rate)

    clean = clean_runs(chosen, among, lambda unit: (attack(unit),), [model])
    poisoned = [backdoor_run(chosen, unit, model, attack(unit)) for unit in among]
    data = chosen.dataset()
    dataset = load_dataset(data.name, root, data.limit, data.options)
    device = process.device(chosen.device)
    records: dict[str, Record] = {
        run.id: train_fleet(Fleet((run,)), dataset, {}, device).records[0] for run in [*clean, *poisoned]
    }
    floor = clean_floor(clean, records)
    return [backdoor_row(run, "poisoned", records[run.id], floor) for run in poisoned]


def verdict(claim: str, *, profile: str = "digits", root: Path = Path()) -> Verdict:
    """A claim's verdict by the evidence of a profile, judged now; ReproError for an unknown name, or no evidence."""
    facts = profile_facts(root, profile)
    asserted = load_claim(claim)
    return judge(asserted, read_tables(root, facts, {claim: asserted}), facts)
