"""The backdoor in an autoencoder's latent space: one dimension, a traversal and a path between classes, with floors."""

from repro.harness.evidence.table import Cell, Table
from repro.papers.desanctis.experiments.latent import pictures as latent_pictures
from repro.report.markdown import table
from repro.report.report import Report
from repro.report.summary import difference, mean, numeric
from repro.report.wording import estimate, name, number

TITLE = "The backdoor in an autoencoder's latent space"
PLACE = 120

_FIGURES = {
    "latent_auc": "AUC of one dimension",
    "traversal_overlap": "Traversal within the mask",
    "interpolation_trigger": "Trigger on the latent path",
    "pixel_interpolation": "On the path between mean images",
    "trigger_drawn": "Trigger in reconstructions",
}
_FLOOR = ("latent_auc", "traversal_overlap", "interpolation_trigger", "pixel_interpolation", "trigger_drawn")
_OTHER = {"reconstruction": "Reconstruction error"}


def blocks(report: Report, evidence: Table) -> list[str]:
    """What is measured, poisoned beside clean, their paired differences, and pictures of both paths."""
    clean = evidence.where(training="clean")
    rates = sorted({_rate(value) for value in evidence.where(training="poisoned").values("poison_rate")})
    poisoned = {rate: evidence.where(training="poisoned", poison_rate=rate) for rate in rates}
    conditions = [("Clean", clean), *((f"Poisoned, rate {rate:g}", rows) for rate, rows in poisoned.items())]
    return [
        "A variational autoencoder is trained on the images of a poisoned training set, without being told which are "
        "poisoned; it is compared with one trained on the same unit's clean training set, from the same initial "
        "weights. Both are measured on held-out images with and without the trigger, none of which is of the poison "
        "class. The clean one is the floor of each figure: even a trigger that it never saw moves its codes."
        f"{_protocol(report)}",
        table(
            ["Training set", *_FIGURES.values(), *_OTHER.values()],
            [
                [
                    label,
                    *(estimate(mean(rows, column)) for column in _FIGURES),
                    *(estimate(mean(rows, column), 4) for column in _OTHER),
                ]
                for label, rows in conditions
            ],
        ),
        "**Poisoned less clean**, paired within units",
        table(
            ["Poison rate", *(_FIGURES[column] for column in _FLOOR)],
            [
                [
                    f"{rate:g}",
                    *(estimate(difference(rows, clean, column), 3, signed=True) for column in _FLOOR),
                ]
                for rate, rows in poisoned.items()
            ],
        ),
        f"*± 95 % intervals over units. {_meanings(clean)}*",
        *latent_pictures.blocks(report, evidence, [(label, rows) for label, rows in conditions]),
        "**How to read it.** A dimension that tells triggered images from clean ones better than the clean "
        "autoencoder's best does, and whose traversal changes the trigger's pixels more, is a backdoor that one can "
        "point at, without a classifier. The path between classes is weaker evidence: the poison class's mean image "
        "holds the trigger at about the poison rate, so that a path towards it must draw about as much; only what the "
        "latent path draws beyond the path between mean images was found by the latent space. The dimension is "
        "chosen here by triggered images, which a defender does not have: this shows that the feature exists, not "
        "that a defender finds it.",
    ]


def _rate(value: Cell) -> float:
    return float(str(value))


def _protocol(report: Report) -> str:
    """The trigger, sizes and recipe, as the profile sets them."""
    if "latent" not in report.profile.experiments:
        return ""
    s = report.profile.settings("latent")
    return (
        f" Trigger {name(s.trigger)}; {s.latent} latent dimensions, hidden layers of {s.width}, Gaussian likelihood "
        f"(squared error), beta {s.beta:g}; Adam at {s.learning_rate:g}, batches of {s.batch_size}, {s.epochs} epochs."
    )


def _meanings(clean: Table) -> str:
    """What the columns are, and what a traversal blind to the trigger would show."""
    share = next((numeric(row, "mask_share") for row in clean), None)
    return (
        "AUC of one dimension: chance that a triggered image lies above a clean one there; dimension and direction are "
        "chosen on half of the images and measured on the other half. Traversal within the mask: the chosen dimension "
        "is moved by two standard deviations to either side of the mean code; the share of the squared change of "
        f"pixels that falls where the trigger lies, which is {number(share)} of the image. Trigger on the latent path: "
        "from the mean code of each other class to that of the poison class; 0 where the decoded path draws nothing of "
        "the trigger, 1 where it draws its mean effect. On the path between mean images: the same, without an "
        "autoencoder. Trigger in reconstructions: how much of it survives encoding and decoding. Reconstruction error: "
        "squared, per pixel, on held-out images without trigger."
    )
