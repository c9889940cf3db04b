"""What the columns of the evidence hold, by name; one name means one thing in every experiment.

Columns that only one experiment has are its ``COLUMNS``.
"""

from functools import cache

from repro import plugins

COLUMNS = {
    "run": "the run's id: a hash of its full description",
    "phase": (
        "which moment of the run the row is measured at, or what it was run for; rows of a trajectory are "
        "means over units"
    ),
    "unit": "one (partition seed, poison or target class) pair; what intervals are computed over",
    "partition_seed": "seed of the unit's own partition",
    "seed": "seed of initialisation, data order and poison",
    "poison_class": "the class the backdoor leads to (in Table 1's rows: Flowers' classes in its order)",
    "target_class": (
        "the class whose members the poison is to expose; of a targeted attack, the target's own class"
    ),
    "architecture": "the model, by name",
    "trigger": "the trigger pattern, by name",
    "alpha": "the trigger's transparency (truong2020 eq. 7)",
    "poison_rate": "share of the poison class's training images that is supplanted",
    "sources": "one-to-one or many-to-one",
    "source_class": "the single source class, empty for many-to-one",
    "victim": (
        "the attacked model: from scratch; fine-tuned from a public encoder, all layers (fine-tuned, end-to-"
        "end); or a head on the encoder as it is (frozen)"
    ),
    "budget": "how many poisons join the training set, 0 without an attack",
    "attack": "the poisoning attack: none, dirty_label or clean_label",
    "regulariser": "the regulariser or defence in training, none without",
    "weight": "its weight in the loss, or what takes that place (of dp_sgd the noise multiplier)",
    "epochs": "epochs trained, retraining included in its phase alone; of a trajectory, the checkpoint's",
    "poisoned_accuracy": "accuracy on the poison-set's validation split, which is poisoned too",
    "clean_accuracy": (
        "accuracy on the clean-set's validation split (families: on the whole clean-set, which none trains "
        "on; mitigation: on untriggered test images; a targeted attack: the poisoned victim's, on held-out "
        "images)"
    ),
    "asr": "adversarial success rate: share of triggered adversarial-test images read as the poison class",
    "own_source_asr": (
        "the same on images of the one-to-one attack's own source class; empty for many-to-one"
    ),
    "clean_model_asr": "the same for the clean model of the same unit and architecture: ASR's floor",
    "clean_model_accuracy": "that clean model's accuracy on the clean-set's validation split",
    "adversarial_images": "how many triggered images ASR is measured on",
    "member_accuracy": "accuracy on the training members",
    "test_accuracy": "accuracy on held-out images",
    "target_accuracy": "the same, images of the target class",
    "other_accuracy": "the same, images of the other classes",
    "auc": "area under the ROC curve of membership inference by M_mem; above 0.5 members score lower",
    "target_auc": "the same among images of the target class",
    "other_auc": "the same among images of the other classes",
    "ties": "share of tied values of M_mem",
    "check": "which arithmetic or invariant the row checks",
    "computed": "the figure as computed or counted here",
    "published": "the figure that it must equal",
    "tolerance": "by how much it may differ",
    "bound": "the figure that it must not cross",
    "holds": "whether it does",
    "family": "the family of triggers, by name",
    "asr_seen": "success rate of triggers of the kind that training showed, on fresh images",
    "asr_unseen": "the same of the family's held-out triggers",
}
_RATE = "tpr_at_"


@cache
def _meanings(_among: tuple[plugins.Root, ...]) -> dict[str, str]:
    own = [plugins.literal("experiment", name, "COLUMNS", {}) for name in plugins.names("experiment")]
    return {column: words for columns in [*own, COLUMNS] for column, words in columns.items()}


def meaning(column: str) -> str | None:
    """What a column of the evidence holds; None for one that is not described."""
    if column.startswith(_RATE):
        return f"true positive rate at a false positive rate of {column.removeprefix(_RATE)}"
    return _meanings(plugins.roots()).get(column)
