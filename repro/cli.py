"""The command line: parse, call, print. Heavy modules are imported by the command that needs them."""

import os
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from repro.errors import ReproError, WorkerLostError

app = typer.Typer(
    name="repro",
    help="Do published findings on poisoning neural networks hold on this code, this data, this machine?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Profiled = Annotated[
    str | None,
    typer.Option("--profile", "-p", help="A profile, or its file; that of params.yaml when left out."),
]
ROOT = Path()
_INTERRUPTED = 128 + signal.SIGINT


def main() -> None:
    """Run the command line: bad input is one line and exit code 2, an interruption 130."""
    try:
        app()
    except WorkerLostError as error:
        _leave_at_once(str(error), 2)
    except ReproError as error:
        print(f"repro: {error}", file=sys.stderr)
        sys.exit(2)
    except SystemExit as ending:
        # Typer turns an interruption into this code, silently.
        if ending.code != _INTERRUPTED:
            raise
        _leave_at_once(
            "interrupted; finished models are kept, the same command continues from them", _INTERRUPTED
        )


def _leave_at_once(message: str, code: int) -> None:
    """Exit without waiting for the training processes: they end with this one."""
    print(f"repro: {message}", file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _profile_name(profile: str | None) -> str:
    from repro.harness.profile import give, load_parameters

    if profile and (profile.endswith((".yaml", ".yml")) or Path(profile).name != profile):
        return give(Path(profile))
    return profile or load_parameters(ROOT).profile


@app.command("list")
def list_(
    kind: Annotated[str | None, typer.Argument(help="One kind only, such as experiments.")] = None,
) -> None:
    """Datasets, attacks, triggers, defences, architectures, experiments, claims and profiles."""
    from repro.listing import listing

    print(listing(kind))


@app.command()
def fetch(
    dataset: Annotated[str | None, typer.Argument(help="A dataset; the profile's when left out.")] = None,
    mirror: Annotated[
        str | None,
        typer.Option(help="A folder or URL that holds copies of the files.", envvar="REPRO_MIRROR"),
    ] = None,
    profile: Profiled = None,
) -> None:
    """Download a dataset, check it, and say what is cached."""
    from repro.data.fetch import fetch as fetch_dataset

    if dataset:
        fetch_dataset(dataset, ROOT, mirror, _say)
        return
    from repro.files import write_json
    from repro.harness.evidence.phases import fetched_path
    from repro.harness.profile import load_profile

    chosen = load_profile(_profile_name(profile), ROOT)
    fetch_dataset(chosen.data.name, ROOT, mirror, _say, chosen.data.options)
    write_json(fetched_path(ROOT, chosen.name), {"dataset": chosen.data.name})


@app.command()
def plan(profile: Profiled = None) -> None:
    """Write what each stage depends on, and say what is still to be done and how long that takes."""
    from repro.harness.announce import announce
    from repro.harness.plan import fingerprints, write_plan
    from repro.harness.profile import load_profile

    chosen = load_profile(_profile_name(profile), ROOT)
    known = fingerprints(chosen)
    print(announce(ROOT, chosen, known))
    write_plan(ROOT, chosen, known)


@app.command()
def run(
    experiment: str,
    phase: Annotated[
        str | None, typer.Option(help="One phase only; all, and the evidence, when left out.")
    ] = None,
    profile: Profiled = None,
) -> None:
    """Train an experiment's models; those already finished come from the store."""
    from repro.harness.execute import run_phases
    from repro.harness.lifetime import end_with_dvc
    from repro.harness.profile import load_profile

    end_with_dvc()
    run_phases(ROOT, load_profile(_profile_name(profile), ROOT), experiment, phase, _say)
    if phase is None:
        evidence(experiment, profile)


@app.command()
def evidence(experiment: str, profile: Profiled = None) -> None:
    """Write an experiment's evidence from the records of its phases."""
    from repro.harness.evidence.make import make_evidence
    from repro.harness.profile import load_profile

    print(make_evidence(ROOT, load_profile(_profile_name(profile), ROOT), experiment))


@app.command()
def bring(
    folder: Annotated[Path, typer.Argument(help="Evidence made elsewhere: reports/NAME or its evidence.")],
    profile: Profiled = None,
    dirty: Annotated[bool, typer.Option("--dirty", help="Also what uncommitted code made.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Replace evidence here that differs.")] = False,
) -> None:
    """Check evidence that was made on another machine, and copy it into this project."""
    from repro.harness.evidence.bring import bring as bring_evidence
    from repro.harness.profile import load_profile

    chosen = load_profile(_profile_name(profile), ROOT)
    print(bring_evidence(ROOT, chosen, folder, dirty=dirty, replace=replace))


@app.command()
def claims(profile: Profiled = None) -> None:
    """Judge every claim on the evidence, write the verdicts, and print them as a table."""
    from repro.claims.judge import write_verdicts
    from repro.listing import verdict_table

    name = _profile_name(profile)
    write_verdicts(ROOT, name)
    print(verdict_table(ROOT, name))


@app.command()
def explain(claim: str, profile: Profiled = None) -> None:
    """A claim's text, place, statistic, cells and rows, and how near its verdict is to turning."""
    from repro.claims.explain import explain as explain_claim

    print(explain_claim(ROOT, _profile_name(profile), claim))


@app.command()
def report(profile: Profiled = None) -> None:
    """Write the report, and print the verdicts and where the report is."""
    from repro.listing import verdict_table
    from repro.report import write_report

    name = _profile_name(profile)
    path = write_report(ROOT, name)
    print(verdict_table(ROOT, name))
    print(f"\nreport: {path}")


@app.command()
def diff(
    before: Annotated[Path, typer.Argument(help="A folder of evidence, or one table.")],
    after: Annotated[Path, typer.Argument(help="The folder or table to compare with it.")],
    up_to_rounding: Annotated[
        bool,
        typer.Option(
            "--up-to-rounding", help="Of two reports/PROFILE: accept what another machine explains."
        ),
    ] = False,
) -> None:
    """Compare two sets of evidence, run by run; exits with 1 when they differ."""
    from repro.harness.evidence.difference import difference
    from repro.harness.evidence.rounding import rounding_apart

    text, same = (rounding_apart if up_to_rounding else difference)(before, after)
    print(text)
    if not same:
        raise typer.Exit(1)


@app.command()
def doctor(
    profile: Profiled = None,
    time: Annotated[
        bool, typer.Option("--time", help="First time a few training steps here, for estimates.")
    ] = False,
) -> None:
    """What this machine has, what a profile needs and costs in time, memory and disk, and what is stale."""
    from repro.harness.doctor import diagnosis
    from repro.harness.profile import load_profile

    chosen = load_profile(_profile_name(profile), ROOT)
    if time:
        from repro.harness.process import keep_freed_memory
        from repro.harness.timing import time_steps

        keep_freed_memory()
        time_steps(ROOT, chosen, _say)
    print(diagnosis(ROOT, chosen))


@app.command()
def attest(
    experiments: Annotated[
        list[str] | None, typer.Argument(metavar="[EXPERIMENT]...", help="All that are stale when left out.")
    ] = None,
    accept: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODULE:DEFINITION=REASON", help="Why a change that no run executes means the same."
        ),
    ] = None,
    profile: Profiled = None,
) -> None:
    """Prove that changed code means the same: train some runs by it and by the code that made the evidence."""
    from repro.harness.evidence.attest import attest as attest_evidence
    from repro.harness.profile import load_profile

    accepted = {}
    for entry in accept or []:
        name, _, reason = entry.partition("=")
        if not name or not reason.strip():
            raise ReproError(f"--accept {entry}: MODULE:DEFINITION=REASON is wanted")
        accepted[name] = reason.strip()
    chosen = load_profile(_profile_name(profile), ROOT)
    if not attest_evidence(ROOT, chosen, experiments or [], accepted, _say):
        raise typer.Exit(1)


@app.command(hidden=True)
def witness(
    runs: Annotated[Path, typer.Option(help="Run ids by experiment and phase, as JSON.")],
    out: Annotated[Path, typer.Option(help="The file to write.")],
    profile: Profiled = None,
) -> None:
    """Train some runs without the store, for `repro attest`."""
    import psutil

    from repro.harness.evidence.witnessing import witness as train_witnesses
    from repro.harness.lifetime import end_with

    end_with(psutil.Process(os.getppid()))
    train_witnesses(ROOT, _profile_name(profile), runs, out)


@app.command()
def new(paper: Annotated[str, typer.Argument(help="Its name: small letters, digits, underscores.")]) -> None:
    """Write a small working paper of your own to papers/PAPER, to be changed."""
    from repro.new import write_paper

    for path in write_paper(ROOT, paper):
        print(f"{path}: written")
    print(f"papers/{paper}/README.md says what to type next")


@app.command("slice")
def slice_(
    whole: Annotated[str, typer.Argument(metavar="PROFILE", help="The profile to take a slice of.")],
    name: Annotated[str, typer.Option("--as", help="The slice's name, a new profile.")],
    units: Annotated[int | None, typer.Option(help="Units of every experiment, at most.")] = None,
    images: Annotated[int | None, typer.Option(help="Images of the dataset.")] = None,
    architectures: Annotated[str | None, typer.Option(help="Some of its architectures: a,b.")] = None,
    experiments: Annotated[str | None, typer.Option(help="Some of its experiments: x,y.")] = None,
) -> None:
    """Write a profile that is a smaller piece of another one: fewer units, images, architectures, experiments."""
    from repro.harness.slices import write_slice

    def listed(names: str | None) -> list[str] | None:
        return None if names is None else [part.strip() for part in names.split(",") if part.strip()]

    path = write_slice(ROOT, whole, name, units, images, listed(architectures), listed(experiments))
    print(f"{path}: a slice of {whole}; `repro plan --profile {name}` says what it costs")
