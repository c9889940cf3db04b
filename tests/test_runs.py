"""A run's id stands for its whole description; a grid's fleets are a pure function of the grid."""

import hashlib
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from repro import plugins
from repro.harness.runs import (
    Backdoor,
    Data,
    Defence,
    Fleet,
    Run,
    Trigger,
    digest,
    engine_of,
    fleets,
    stacked_alike,
)
from repro.training.recipe import Recipe

names = st.text("abcdefg_é", min_size=1, max_size=6)
small = st.integers(0, 10**6)
shares = st.floats(0, 1)
optional = st.one_of(st.none(), small)
options = st.dictionaries(names, st.one_of(small, shares, names), max_size=3)
recipes = st.builds(Recipe, shares, small, small, optional, options)
triggers = st.builds(Trigger, names, shares, options)
backdoors = st.builds(Backdoor, small, triggers, shares, optional)
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "unit": names,
    "data": st.builds(Data, names, optional, options),
    "partition_seed": small,
    "seed": small,
    "architecture": st.sampled_from(["mlp", "cnn", "cnn_bn"]),
    "recipe": recipes,
    "pretrained": st.booleans(),
    "defence": st.builds(Defence, names, shares, options),
    "backdoor": st.one_of(st.none(), backdoors),
    "probes": st.lists(backdoors, max_size=2).map(tuple),
    "retraining": st.one_of(st.none(), recipes),
}
runs = st.builds(Run, **FIELDS)
NESTED: dict[type, dict[str, st.SearchStrategy[Any]]] = {
    Data: {"name": names, "limit": optional, "options": options},
    Recipe: {
        "learning_rate": shares,
        "batch_size": small,
        "epochs": small,
        "patience": optional,
        "options": options,
    },
    Defence: {"name": names, "weight": shares, "options": options},
    Backdoor: {
        "poison_class": small,
        "trigger": triggers,
        "poison_rate": shares,
        "source_class": optional,
    },
    Trigger: {"name": names, "alpha": shares, "options": options},
}


def test_no_field_of_a_description_is_forgotten_here() -> None:
    assert list(FIELDS) == [f.name for f in fields(Run)]
    for kind, strategies in NESTED.items():
        assert list(strategies) == [f.name for f in fields(kind)]


@settings(deadline=None)
@given(runs, st.data())
def test_an_id_depends_on_every_field(run: Run, data: st.DataObject) -> None:
    for name, strategy in FIELDS.items():
        other = data.draw(strategy, label=name)
        if other != getattr(run, name):
            assert replace(run, **{name: other}).id != run.id


@settings(deadline=None)
@given(runs, backdoors, st.data())
def test_an_id_depends_on_every_field_within_a_field(
    run: Run, backdoor: Backdoor, data: st.DataObject
) -> None:
    run = replace(run, backdoor=backdoor, probes=(backdoor,), retraining=run.recipe)
    for place in ("data", "recipe", "defence", "backdoor", "retraining"):
        part = getattr(run, place)
        for name, strategy in NESTED[type(part)].items():
            other = data.draw(strategy, label=f"{place}.{name}")
            if other != getattr(part, name):
                assert replace(run, **{place: replace(part, **{name: other})}).id != run.id
    for name, strategy in NESTED[Trigger].items():
        other = data.draw(strategy, label=f"trigger.{name}")
        if other == getattr(backdoor.trigger, name):
            continue
        changed = replace(backdoor, trigger=replace(backdoor.trigger, **{name: other}))
        assert replace(run, backdoor=changed).id != run.id
        assert replace(run, probes=(changed,)).id != run.id


@given(runs)
def test_an_id_is_equal_for_equal_descriptions_and_never_looks_like_a_number(run: Run) -> None:
    again = replace(run, defence=replace(run.defence, options=dict(reversed(run.defence.options.items()))))
    assert again.id == run.id
    assert len(run.id) == 16
    assert run.id[0] == "r"
    assert run.id.isalnum()


def test_an_id_is_the_same_in_every_process() -> None:
    assert (
        digest({"b": 1, "a": [2.5, None, "é"]})
        == hashlib.sha256('{"a":[2.5,null,"é"],"b":1}'.encode()).hexdigest()
    )


@given(runs)
def test_a_runs_pieces_are_all_it_names(run: Run) -> None:
    attacks = [*run.probes, *([run.backdoor] if run.backdoor else [])]
    assert run.pieces() == {
        ("dataset", run.data.name),
        ("architecture", run.architecture),
        ("engine", "stacked"),
        ("defence", run.defence.name),
        *(("trigger", attack.trigger.name) for attack in attacks),
    }


def test_the_engine_is_the_one_that_the_architecture_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "plain.py").write_text('"""Plain."""\n', encoding="utf-8")
    (tmp_path / "models" / "deep.py").write_text('"""Deep."""\nENGINE = "network"\n', encoding="utf-8")
    monkeypatch.setattr(plugins, "ROOT", tmp_path)
    assert [engine_of("plain"), engine_of("deep")] == ["stacked", "network"]
    monkeypatch.undo()


def grid_run(kind: int, seed: int) -> Run:
    architecture, patience = (("mlp", None), ("mlp", 5), ("cnn", None))[kind]
    return Run("u000", Data("digits"), seed, seed, architecture, Recipe(0.01, 32, 9, patience))


grids = st.lists(st.builds(grid_run, st.integers(0, 2), st.integers(0, 5)), max_size=30)
sizes = st.integers(1, 7)


@given(grids, sizes)
def test_fleets_hold_every_run_once_alike_in_order_and_no_more_than_fit(grid: list[Run], size: int) -> None:
    made = fleets(iter(grid), size, stacked_alike)
    kinds: list[Any] = []
    for fleet in made:
        (kind,) = {repr(stacked_alike(run)) for run in fleet.runs}
        kinds.append(kind)
        assert 1 <= len(fleet.runs) <= size
    firsts = list(dict.fromkeys(repr(stacked_alike(run)) for run in grid))
    assert list(dict.fromkeys(kinds)) == firsts
    for kind in firsts:
        own = [fleet.runs for fleet, its in zip(made, kinds, strict=True) if its == kind]
        assert [run for part in own for run in part] == [r for r in grid if repr(stacked_alike(r)) == kind]
        assert all(len(part) == size for part in own[:-1])


@given(grids, grids, sizes)
def test_fleets_are_a_pure_function_of_the_grid_and_of_runs_alike_alone(
    grid: list[Run], more: list[Run], size: int
) -> None:
    made = fleets(grid, size, stacked_alike)
    assert made == fleets(list(grid), size, stacked_alike)
    for kind in range(3):
        architecture, patience = (("mlp", None), ("mlp", 5), ("cnn", None))[kind]

        def own(run: Run, architecture: str = architecture, patience: int | None = patience) -> bool:
            return (run.architecture, run.recipe.patience) == (architecture, patience)

        among_others = fleets([run for run in more if not own(run)] + grid, size, stacked_alike)
        assert [f for f in among_others if own(f.runs[0])] == [f for f in made if own(f.runs[0])]


def test_what_can_share_a_stack() -> None:
    run = grid_run(0, 1)
    same = replace(run, seed=9, partition_seed=9, unit="u009", defence=replace(run.defence, weight=0.5))
    assert stacked_alike(same) == stacked_alike(replace(same, backdoor=None, probes=())) == stacked_alike(run)
    for other in (
        replace(run, architecture="cnn"),
        replace(run, pretrained=True),
        replace(run, recipe=replace(run.recipe, learning_rate=0.02)),
        replace(run, data=Data("digits", 100)),
        replace(run, defence=Defence("snnl", 0.0)),
        replace(run, defence=Defence("none", 0.0, {"temperature": 1})),
    ):
        assert stacked_alike(other) != stacked_alike(run)


@given(st.lists(runs, min_size=2, max_size=4))
@settings(deadline=None)
def test_a_fleets_id_depends_on_every_run_and_their_order(among: list[Run]) -> None:
    fleet = Fleet(tuple(among))
    assert fleet.id[0] == "f"
    assert Fleet(tuple(among)).id == fleet.id
    assert Fleet(tuple(among[1:])).id != fleet.id
    assume([asdict(r) for r in among] != [asdict(r) for r in reversed(among)])
    assert Fleet(tuple(reversed(among))).id != fleet.id


@given(runs, runs)
def test_a_fleet_uses_every_piece_of_its_runs_and_their_dataset(one: Run, other: Run) -> None:
    fleet = Fleet((one, replace(other, data=one.data)))
    assert fleet.pieces() == one.pieces() | replace(other, data=one.data).pieces()
    assert fleet.data == one.data
