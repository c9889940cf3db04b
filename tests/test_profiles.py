"""A profile or params.yaml that is wrong ends in one line that names the file and the field."""

import copy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from repro import plugins
from repro.errors import ReproError
from repro.harness import profile as profiles
from repro.harness.plan import costs

PARAMS = "profile: digits\nseeds: {evidence: 1, tuning: 100001}\n"
DIGITS = yaml.safe_load((profiles.FOLDER / "digits.yaml").read_text(encoding="utf-8"))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "params.yaml").write_text(PARAMS, encoding="utf-8")
    return tmp_path


@pytest.fixture
def edited(project: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., profiles.Profile]:
    """Loads the profile digits with a field, named by its path, set to another value or removed."""

    def load(path: str, *value: Any, **sections_instead: Any) -> profiles.Profile:
        content = copy.deepcopy(DIGITS) | sections_instead
        *sections, last = path.split("/")
        section = content
        for name in sections:
            section = section.setdefault(name, {})
        if value:
            section[last] = value[0]
        else:
            del section[last]
        folder = project / "profiles"
        folder.mkdir(exist_ok=True)
        (folder / "digits.yaml").write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        monkeypatch.setattr(profiles, "FOLDER", folder)
        return profiles.load_profile("digits", project)

    return load


@pytest.mark.parametrize("name", profiles.names())
def test_every_profile_of_the_project_is_valid(project: Path, name: str) -> None:
    profile = profiles.load_profile(name, project)
    assert profile.name == name
    assert (profile.seeds.evidence, profile.seeds.tuning) == (1, 100001)
    assert costs(project, profile)


def test_unchanged_copy_loads(edited: Callable[..., profiles.Profile]) -> None:
    assert edited("poison_rate", 0.25).poison_rate == 0.25


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("poisen_rate", 0.1, r"poisen_rate: Extra inputs are not permitted \(known: .*poison_rate.*\)"),
        ("training/patiance", 5, r"training\.patiance: Extra inputs are not permitted"),
        ("poison_rate", 0, r"poison_rate: Input should be greater than 0"),
        ("poison_rate", 1.5, r"poison_rate: Input should be less than or equal to 1"),
        ("poison_rate", "much", r"poison_rate: Input should be a valid number.*"),
        ("triggers/square/alpha", 1.5, r"triggers\.square\.alpha: Input should be less than or equal to 1"),
        ("training/epochs", 0, r"training\.epochs: Input should be greater than or equal to 1"),
        ("device", "tpu", r"device: Input should be 'auto', 'cpu' or 'cuda'"),
        ("data/limit", 0, r"data\.limit: Input should be greater than or equal to 1"),
        ("data/limit", 1798, r"data\.limit: 1798, but digits has 1797 images"),
        ("data/name", "letters", r"data\.name: unknown dataset 'letters': there are .*digits, .*mnist"),
        (
            "triggers/square/options",
            {"size": 8, "offset": 1},
            r"triggers\.square: square of 8 pixels at offset 1 does not fit an image of 8x8",
        ),
        (
            "triggers/random_square/options",
            {"size": 9},
            r"triggers\.random_square: random square of 9 pixels does not fit an image of 8x8",
        ),
        (
            "triggers/sine/options",
            {"cycles": 4.5},
            r"triggers\.sine: sine of 4\.5 cycles needs at least two pixels each, of 8 columns",
        ),
        (
            "triggers/square/options",
            {"siz": 3},
            r"triggers\.square\.options: unknown option 'siz' \(known: size, offset, value\)",
        ),
        (
            "triggers/square/options",
            {"size": "3"},
            r"triggers\.square\.options\.size: '3' is not a whole number",
        ),
        (
            "triggers/square/options",
            {"size": 2.5},
            r"triggers\.square\.options\.size: 2\.5 is not a whole number",
        ),
        ("triggers/sine/options", {"cycles": "2"}, r"triggers\.sine\.options\.cycles: '2' is not a number"),
        (
            "triggers/circle",
            {"alpha": 1.0},
            r"triggers\.circle: unknown trigger 'circle': there are .*square",
        ),
        ("architectures", [], r"architectures: List should have at least 1 item.*"),
        ("architectures", ["vgg"], r"training\.learning_rate: none for architecture 'vgg'"),
        ("training/learning_rate", {"mlp": 0.01}, r"training\.learning_rate: none for architecture 'cnn'"),
        (
            "retraining/learning_rate",
            {"mlp": 0.01},
            r"retraining\.learning_rate: none for architecture 'cnn'",
        ),
        ("defences/prayer", {"weight": {}}, r"defences: unknown defence 'prayer': there are .*snnl.*"),
        ("defences/snnl/weight", {"mlp": 1.0}, r"defences\.snnl\.weight: none for architecture 'cnn'"),
        (
            "defences/snnl/options",
            {"temprature": 1.0},
            r"defences\.snnl\.options: unknown option 'temprature' \(known: temperature\)",
        ),
        ("experiments/nothing", {}, r"experiments: unknown experiment 'nothing': there are .*tuning.*"),
        (
            "experiments/sources/unit",
            30,
            r"experiments\.sources: unit: Extra inputs are not permitted \(known: units, triggers\)",
        ),
    ],
)
def test_wrong_field_is_named(
    edited: Callable[..., profiles.Profile], path: str, value: Any, message: str
) -> None:
    with pytest.raises(ReproError, match=rf"^(repro/profiles/digits\.yaml: |profile digits: ){message}$"):
        edited(path, value)


def test_architecture_that_is_not_there(edited: Callable[..., profiles.Profile]) -> None:
    rates = {"learning_rate": {"vgg": 0.1}}
    training, retraining = DIGITS["training"] | rates, DIGITS["retraining"] | rates
    message = r"digits\.yaml: architectures: unknown architecture 'vgg': there are .*mlp"
    with pytest.raises(ReproError, match=message):
        edited("architectures", ["vgg"], training=training, retraining=retraining)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("experiments/sources/triggers", ["circle"], "triggers: no entry 'circle'"),
        ("experiments/regularisers/regularisers", ["prayer"], "defences: no entry 'prayer'"),
        ("experiments/tuning/weights", {"prayer": [1.0]}, "defences: no entry 'prayer'"),
        ("experiments/exposure/architecture", "vgg", "unknown architecture 'vgg'"),
        ("experiments/exposure/attacks", {"prayer": {"budget": 3}}, "exposure: attacks.prayer"),
        ("experiments/sources/triggers", [], "sources: triggers: List should have at least 1 item"),
    ],
)
def test_experiment_that_names_what_is_not_there(
    edited: Callable[..., profiles.Profile], project: Path, path: str, value: Any, message: str
) -> None:
    with pytest.raises(ReproError) as error:
        costs(project, edited(path, value))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_field_is_named(edited: Callable[..., profiles.Profile]) -> None:
    with pytest.raises(ReproError, match=r"^repro/profiles/digits\.yaml: title: Field required$"):
        edited("title")


def test_unknown_profile_names_those_there_are(project: Path) -> None:
    with pytest.raises(ReproError, match=r"^unknown profile 'numbers': there are .*digits"):
        profiles.load_profile("numbers", project)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"params\.yaml: a mapping is wanted, not NoneType"),
        (b"- digits", r"params\.yaml: a mapping is wanted, not list"),
        (b"profile: [", r"params\.yaml:2: .*"),
        (b"profile: a\nprofile: b", r"params\.yaml:2: key 'profile' is given twice"),
        (b"\xff\xfe\x00", r"params\.yaml: cannot be read as text .*"),
        (b"profile: digits", r"params\.yaml: seeds: Field required"),
        (PARAMS.replace("1,", "-1,").encode(), r"params\.yaml: seeds\.evidence: Input should be greater.*"),
        (PARAMS.encode() + b"seed: 3\n", r"params\.yaml: seed: Extra inputs .*\(known: profile, seeds\)"),
        (
            PARAMS.replace("digits", "dogs").encode(),
            r"params\.yaml: profile: 'dogs' is not one of .*digits.*",
        ),
    ],
)
def test_wrong_params(project: Path, content: bytes, message: str) -> None:
    (project / "params.yaml").write_bytes(content)
    with pytest.raises(ReproError, match=rf"^{message}$") as error:
        profiles.load_parameters(project)
    assert "\n" not in str(error.value)


def test_missing_params(tmp_path: Path) -> None:
    with pytest.raises(ReproError, match=r"^params\.yaml: no such file$"):
        profiles.load_parameters(tmp_path)


def test_seeds_come_from_params(project: Path) -> None:
    (project / "params.yaml").write_text(PARAMS.replace("1,", "77,"), encoding="utf-8")
    assert profiles.load_profile("digits", project).seeds.evidence == 77


def test_profiles_load_and_plan_without_torch(project: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from repro.harness.profile import load_profile; "
        "from repro.harness.plan import write_plan; root = Path(sys.argv[1]); "
        "write_plan(root, load_profile('digits', root)); print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(project)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
    assert {path.name for path in (project / "data" / "plan" / "digits").iterdir()} >= {
        f"{name}.json" for name in plugins.names("experiment") if name in DIGITS["experiments"]
    }


@pytest.fixture
def slices(project: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], profiles.Profile]:
    """Loads a profile `part`, written as YAML, beside profile digits."""
    folder = project / "profiles"
    folder.mkdir()
    (folder / "digits.yaml").write_text(yaml.safe_dump(DIGITS, sort_keys=False), encoding="utf-8")
    monkeypatch.setattr(profiles, "FOLDER", folder)

    def load(text: str) -> profiles.Profile:
        (folder / "part.yaml").write_text(text, encoding="utf-8")
        return profiles.load_profile("part", project)

    return load


def test_a_slice_is_the_whole_profile_but_for_what_it_says(
    slices: Callable[[str], profiles.Profile], project: Path
) -> None:
    part = slices(
        "slice_of: digits\ntitle: a part\narchitectures: [mlp]\ndata: {limit: 900}\n"
        "experiments:\n  sources: {units: 7}\n  tuning: {weights: {snnl: null, contrastive: [5.0]}}\n"
        "leaves_out: {exposure: too slow}\n"
    )
    whole = profiles.load_profile("digits", project)
    assert part.slice_of == "digits"
    assert whole.slice_of is None
    assert (part.data.name, part.data.limit) == ("digits", 900)
    assert part.settings("sources").units == 7
    assert part.settings("sources").triggers == whole.settings("sources").triggers
    assert part.settings("tuning").weights["contrastive"] == [5.0]
    assert "snnl" in whole.settings("tuning").weights
    assert "snnl" not in part.settings("tuning").weights
    assert set(whole.experiments) - set(part.experiments) == {"exposure"}
    same = {"triggers", "training", "retraining", "poison_rate", "fixed_epochs", "defences"}
    assert part.model_dump(include=same) == whole.model_dump(include=same)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("slice_of: part", r"slice_of: 'part' is not one of the other profiles, digits, part"),
        ("slice_of: numbers", r"slice_of: 'numbers' is not one of the other profiles, digits, part"),
        ("slice_of: digits\nleaves_out: {nothing: x}", r"leaves_out: unknown experiment 'nothing': .*"),
        (
            "slice_of: digits\nleaves_out: {sources: x}\nexperiments: {sources: {units: 3}}",
            r"leaves_out\.sources: experiments sizes it; one or the other",
        ),
        ("slice_of: digits\narchitectures: [vgg]", r"training\.learning_rate: none for architecture 'vgg'"),
        (
            "slice_of: digits\ntraining: {options: {mlp: {precision: bfloat16}}}",
            r"training\.mlp\.options: unknown option 'precision' \(known: \)",
        ),
    ],
)
def test_a_wrong_slice_is_one_line(
    slices: Callable[[str], profiles.Profile], text: str, message: str
) -> None:
    with pytest.raises(ReproError, match=rf"^repro/profiles/part\.yaml: {message}$"):
        slices(text)


def test_a_slice_of_a_slice_is_refused(slices: Callable[[str], profiles.Profile], project: Path) -> None:
    slices("slice_of: digits\ntitle: a part")
    (project / "profiles" / "less.yaml").write_text("slice_of: part", encoding="utf-8")
    with pytest.raises(ReproError, match=r"slice_of: 'part' is a slice itself; name the whole profile$"):
        profiles.load_profile("less", project)


def test_an_experiment_that_is_not_named_runs_with_its_defaults(
    edited: Callable[..., profiles.Profile],
) -> None:
    profile = edited("units", 20, experiments={}, leaves_out={"sources": "not here"})
    assert set(profile.experiments) == set(plugins.names("experiment")) - {"sources"}
    assert profile.settings("regularisers").model_dump() == {
        "units": 20,  # it has no number of its own
        "trigger": "square",
        "regularisers": list(profile.defences),
    }
    assert profile.settings("poison_rate").units == 20  # of its own 30
    assert profile.settings("poison_rate").architecture == profile.architectures[0]
    assert profile.settings("transparency").triggers == ["sine", "low_variance"]
    assert edited("units", 50).settings("poison_rate").units == 30


def test_what_a_profile_says_of_an_experiment_stands(edited: Callable[..., profiles.Profile]) -> None:
    own = {"units": 70, "architecture": "mlp", "triggers": ["sine"], "poison_rates": [0.3]}
    profile = edited("units", 20, experiments={"poison_rate": own})
    assert profile.settings("poison_rate").model_dump() == own


def test_an_unnamed_experiment_of_too_many_models_is_left_out_with_the_reason(
    edited: Callable[..., profiles.Profile],
) -> None:
    profile = edited("most_models", 40, units=3, experiments={"comparative": {}})
    assert profile.leaves_out["sources"] == "it takes 45 models, more than this profile's 40"
    assert "sources" not in profile.experiments
    assert "comparative" in profile.experiments  # it was named
    assert "pair_counts" in profile.experiments


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("data/limit", 199, r"data\.limit: 199, at least 200 are needed, 20 per class"),
        (
            "experiments/poison_rate/architecture",
            "fast_cnn",
            r"training\.learning_rate: none for 'fast_cnn', which poison_rate names",
        ),
        (
            "experiments/sources/triggers",
            ["sine", "sine"],
            r"experiments\.sources: triggers: .*'sine' is listed twice",
        ),
        (
            "experiments/transparency/alphas",
            [0.5, 0.5],
            r"experiments\.transparency: alphas: .*0\.5 is listed twice",
        ),
        ("pretrained", {"mlp": True}, r"pretrained\.mlp: there are no published weights"),
        ("pretrained", {"resnet60": True}, r"pretrained: unknown architecture 'resnet60': there are .*"),
        ("training/options", {"vgg": {}}, r"training\.options: unknown architecture 'vgg': there are .*"),
        (
            "training/options",
            {"resnet_small": {"compile": 1}},
            r"training\.resnet_small\.options\.compile: 1 is neither true nor false",
        ),
    ],
)
def test_what_would_fail_only_in_training_is_refused_when_read(
    edited: Callable[..., profiles.Profile], path: str, value: Any, message: str
) -> None:
    with pytest.raises(ReproError, match=rf"^(repro/profiles/digits\.yaml: |profile digits: ){message}$"):
        edited(path, value)
