"""The public contract of `reports/`, in short: files, columns and fields, and what each means."""

from collections.abc import Mapping

from repro.claims.verdicts import SCHEMA, PartVerdict, Verdict
from repro.report.markdown import bullets, code, details, escape, table

COLUMNS = {
    "run": "the run's id: a hash of its full description",
    "phase": "which moment of the run the row is measured at, or what it was run for; rows of a trajectory are means "
    "over units",
    "unit": "one (partition seed, poison or target class) pair; what intervals are computed over",
    "partition_seed": "seed of the unit's own partition",
    "seed": "seed of initialisation, data order and poison",
    "poison_class": "the class the backdoor leads to (in Table 1's rows: Flowers' classes in its order)",
    "target_class": "the class whose members the poison is to expose; of a targeted attack, the target's own class",
    "base_class": "the class of a targeted attack's poisons, by look and label, that the target is to be read as",
    "architecture": "the model, by name",
    "trigger": "the trigger pattern, by name",
    "alpha": "the trigger's transparency (truong2020 eq. 7)",
    "poison_rate": "share of the poison class's training images that is supplanted",
    "sources": "one-to-one or many-to-one",
    "source_class": "the single source class, empty for many-to-one",
    "victim": "the attacked model: from scratch; fine-tuned from a public encoder, all layers (fine-tuned, "
    "end-to-end); or a head on the encoder as it is (frozen)",
    "watermark": "opacity at which the target lies over the bases before poisons are crafted from them",
    "budget": "how many poisons join the training set, 0 without an attack",
    "attack": "the poisoning attack: none, dirty_label or clean_label",
    "regulariser": "the regulariser or defence in training, none without",
    "versus": "of a matched row: the defence that the two victims are matched for",
    "weight": "its weight in the loss, or what takes that place (of dp_sgd the noise multiplier)",
    "learning_rate": "Adam's rate",
    "epochs": "epochs trained, retraining included in its phase alone; of a trajectory, the checkpoint's",
    "poisoned_accuracy": "accuracy on the poison-set's validation split, which is poisoned too",
    "clean_accuracy": "accuracy on the clean-set's validation split; of a targeted attack, the poisoned victim's on "
    "held-out images",
    "asr": "adversarial success rate: share of triggered adversarial-test images read as the poison class",
    "own_source_asr": "the same on images of the one-to-one attack's own source class; empty for many-to-one",
    "clean_model_asr": "the same for the clean model of the same unit and architecture: ASR's floor",
    "clean_model_accuracy": "that clean model's accuracy on the clean-set's validation split",
    "adversarial_images": "how many triggered images ASR is measured on",
    "member_accuracy": "accuracy on the training members",
    "test_accuracy": "accuracy on held-out images",
    "validation_accuracy": "accuracy on the victim's own validation images, which early stopping looks at",
    "target_accuracy": "the same, images of the target class",
    "other_accuracy": "the same, images of the other classes",
    "auc": "area under the ROC curve of membership inference by M_mem; above 0.5 members score lower",
    "target_auc": "the same among images of the target class",
    "other_auc": "the same among images of the other classes",
    "ties": "share of tied values of M_mem",
    "epsilon": "the privacy budget spent, at delta 1e-4; empty but for DP-SGD",
    "target_asr": "1 where the poisoned victim reads the target as the base class, else 0",
    "placebo_asr": "the same for a victim trained on the uncrafted bases in place of the poisons: its floor",
    "poison_as_target_rate": "share of poisons that the clean victim reads as the target's class",
    "base_as_target_rate": "the same of the uncrafted bases: its floor",
    "poison_as_base_rate": "share of poisons that the poisoned victim reads as the base class",
    "nearer_target_rate": "share of poisons nearer, in the public encoder's features, to the target than to their base",
    "nearer_base_rate": "share of poisons nearer, in pixels, to their base than to the target",
    "collapsed_rate": "the same in the poisoned victim's own features",
    "feature_ratio": "mean distance of poison and target over that of base and target, in the encoder's features",
    "input_ratio": "mean distance of poison and base over that of base and target, in pixels",
    "placebo_accuracy": "the placebo victim's accuracy on held-out images",
    "base_image": "the first poison's base as a picture: after an x, 8 bits a value in two hexadecimal digits, rows "
    "first (height, width, channel); of each condition's first units, else empty",
    "target_image": "the target, likewise",
    "poison_image": "the first poison, likewise",
    "check": "which arithmetic or invariant the row checks",
    "gap": "the true label's logit less the others'",
    "computed": "the figure as computed or counted here",
    "published": "the figure that it must equal",
    "tolerance": "by how much it may differ",
    "bound": "the figure that it must not cross",
    "holds": "whether it does",
}
_RATE = "tpr_at_"

_FIELDS = {
    "id": "the claim, as in the inventory; never changes",
    "verdict": "reproduced, contradicted, inconclusive, reported, not applicable or not measured",
    "estimate": "the effect the verdict is on, in the metric's units; null where nothing was measured, or "
    "nothing is judged (reported)",
    "interval": "its interval at `level`, two numbers or null",
    "level": "1 - 0.05/m, with m the number of that paper's claims",
    "n": "independent units (or rows, for exact claims); of a table, the smallest of its figures'",
    "published": "the paper's figure, in words, or null",
    "parts": "the claim's parts, judged one by one, and after them figures shown beside; of a table, its figures alone",
    "reason": "why the verdict is what it is",
}
_PART_FIELDS = {
    "name": "what the part asserts",
    "kind": "direction, equal, no loss, level or exact; beside is shown and never judged",
    "verdict": "as above; null for beside",
    "interval95": "the 95 % interval",
    "bootstrap": "the studentised bootstrap's interval at `level`, a check on Student's t",
    "minimum": "a direction's minimum effect",
    "margin": "the margin of an equality or the tolerance of a level",
    "cells": "by cell of the grid: its name, estimate, n, and whether it agrees with the claim",
    "turning": "by how much the interval would have to move for another verdict",
}


def meaning(column: str) -> str | None:
    """What a column of the evidence holds; None for one that is not described."""
    if column.startswith(_RATE):
        return f"true positive rate at a false positive rate of {column.removeprefix(_RATE)}"
    return COLUMNS.get(column)


def blocks(columns: Mapping[str, tuple[str, ...]]) -> list[str]:
    """The contract; ``columns`` are those of each experiment's evidence."""
    found = dict.fromkeys(column for listed in columns.values() for column in listed)
    described = [[code(column), escape(meaning(column) or "not described")] for column in found]
    of = [[code(experiment), ", ".join(map(code, listed))] for experiment, listed in sorted(columns.items())]
    blocks = [
        "All of it is plain text in git. Schema version of the verdicts: "
        f"**{SCHEMA}**; fingerprints and provenance carry their own `schema`. A change that breaks a reader raises it.",
        "Version 2 has one verdict more than version 1: *reported*, of a claim that is a comparison without an "
        "asserted direction. Its `estimate` and `interval` are null; its `parts` are its figures, of kind `beside`.",
        bullets(
            [
                "`<profile>/README.md`, `<profile>/figures/`: the report, for people.",
                "`<profile>/verdicts.json`: a list of objects, one a claim, for programs.",
                "`<profile>/evidence/<experiment>.csv`: a row a run and phase, UTF-8, comma-separated, one header "
                "line. Rates, accuracies and AUCs are fractions from 0 to 1; floats are written so that they read back "
                "equal; `true` and `false`; an empty cell is no value.",
                "`<profile>/evidence/<experiment>.fingerprint.json`: the code, parameters and data that made the "
                "table; where they no longer match, the evidence is stale, and `pytest claims/` says so.",
                "`<profile>/evidence/<experiment>.provenance.json`: commit, packages, device, time taken.",
            ]
        ),
        details(
            "Fields of verdicts.json",
            _fields(),
            "Of each part, beside `estimate`, `interval`, `level`, `n` and `reason`, which mean the same:",
            _part_fields(),
        ),
    ]
    if described:
        blocks.append(
            details(
                "Columns of the evidence",
                table(["Column", "Meaning"], described, left=2),
                table(["Experiment", "Columns"], of, left=2),
            )
        )
    return blocks


def _fields() -> str:
    return table(
        ["Field", "Meaning"],
        [[code(f), _FIELDS.get(f, "not described")] for f in Verdict.model_fields],
        left=2,
    )


def _part_fields() -> str:
    own = [field for field in PartVerdict.model_fields if field not in _FIELDS or field in _PART_FIELDS]
    return table(["Field", "Meaning"], [[code(f), _PART_FIELDS.get(f, "not described")] for f in own], left=2)
