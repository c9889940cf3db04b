"""Where truong2020 contradicts itself, as data: what it says in one place, what in another, and what is made of it.

Figures that its tables print twice are not listed here but held against each other by ``against_itself``.
Every statement has been checked against the paper's text; Figures 4 to 7 are pictures and could not be.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Statement:
    """What the paper says, and in which section, table, figure or equation."""

    where: str
    says: str


@dataclass(frozen=True)
class Contradiction:
    """Statements that do not go together.

    ``about`` is its title; ``remark``, what follows or how this reproduction reads it; ``here`` names the figures of
    ours that stand beside it, a function of ``against_itself_here``, None where no experiment has any.
    """

    about: str
    statements: tuple[Statement, ...]
    remark: str
    here: str | None = None


CONTRADICTIONS = (
    Contradiction(
        "Whether retraining removes the backdoor",
        (
            Statement(
                "Abstract, finding 4",
                "backdoors \u201ccan be rendered ineffective after just a few epochs of additional training\u201d",
            ),
            Statement(
                "4.4, Fig. 6c, 6f",
                "\u201cretraining is not always effective against full image trigger patterns at sufficiently high "
                "\u03b1\u201d",
            ),
            Statement("4.2, Table 2", "NASNet keeps 0.18 on the square of Flowers after retraining"),
        ),
        "The finding holds for Table 2's low alphas, but for the square under NASNet. Judged apart: truong-09, "
        "truong-11 and truong-20.",
        "retraining",
    ),
    Contradiction(
        "Whether retraining costs accuracy",
        (
            Statement(
                "4.2, finding 4", "model accuracy \u201c(on either clean or poisoned) is not affected\u201d"
            ),
            Statement(
                "Table 3",
                "ResNet-50 on Flowers, square, poisoned validation: 0.89 before, 0.86 after; on CIFAR-10, sine: 0.69 "
                "before, 0.73 and 0.74 after",
            ),
        ),
        "Both are small; the second is a gain. Accuracy's margin here is 0.03.",
        "retraining_accuracy",
    ),
    Contradiction(
        "Which architecture is the most robust on Flowers",
        (
            Statement("4.1", "NASNet-Mobile \u201cis by far the most robust to poisoning on Flowers\u201d"),
            Statement("Table 2", "low variance: NASNet-Mobile 0.12, NASNet 0.06"),
        ),
        "It holds for the other three triggers, for sine by 0.04 only (0.14 against 0.18).",
        "most_robust",
    ),
    Contradiction(
        "How much more robust the NASNets are on CIFAR-10",
        (
            Statement(
                "4.1", "NASNet-Mobile and NASNet \u201care both slightly more robust on CIFAR-10\u201d"
            ),
            Statement(
                "Table 2",
                "low variance: ResNet-50 0.55, NASNet 0.06, NASNet-Mobile 0.16; square: ResNet-50 and NASNet both 0.74",
            ),
        ),
        "Under low variance a factor of three to nine, under the square none at all.",
    ),
    Contradiction(
        "Which trigger is the strongest on CIFAR-10",
        (
            Statement(
                "4.6", "sine is \u201cthe most effective\u201d pattern for CIFAR-10, so Tables 4 and 5 use it"
            ),
            Statement("Table 2", "NASNet: square 0.74, sine 0.63"),
        ),
        "Sine leads on the two other models and on average (0.77 against 0.72).",
        "strongest",
    ),
    Contradiction(
        "Whether accuracy and ASR go against each other",
        (
            Statement("Finding 2", "a negative correlation is found \u201crarely to be the case\u201d"),
            Statement(
                "4.1",
                "on CIFAR-10 \u201csame models yield top performance on both\u201d accuracy and robustness, which is a "
                "negative correlation of accuracy and ASR",
            ),
        ),
        "One of the two datasets shows what the finding calls rare; each has three models.",
        "correlation",
    ),
    Contradiction(
        "Whether the trigger affects accuracy",
        (
            Statement(
                "4.1", "the trigger has \u201cvery little effect on the accuracy of the trained model\u201d"
            ),
            Statement(
                "Table 3", "ResNet-50 on CIFAR-10, clean validation: 0.69 under sine, 0.74 under the others"
            ),
        ),
        "The inventory of claims takes a difference within about 0.05 as published, and judges against 0.03.",
        "accuracy_by_trigger",
    ),
    Contradiction(
        "Whether one or many sources matter to accuracy",
        (
            Statement("4.6", "no \u201csignificant impact\u201d on accuracy on either validation set"),
            Statement(
                "Table 4",
                "poisoned validation, Flowers: NASNet 0.86 \u00b1 0.02 against 0.89, NASNet-Mobile 0.78 \u00b1 0.02 "
                "against 0.82",
            ),
        ),
        "Both lie outside the printed spread; of what it is the spread, the paper does not say.",
        "sources",
    ),
    Contradiction(
        "Which trigger needs the most poison",
        (
            Statement(
                "4.5",
                "random square requires the most, with \u201cmiddling success\u201d only at \u201cimpractically high "
                "poisoning rates\u201d",
            ),
            Statement(
                "Table 2",
                "the same model and data at a poison rate of 0.1: random square 0.53, low variance 0.06",
            ),
        ),
        "Section 4.5 attacks the class truck alone, Table 2 averages over classes; both cannot hold for most classes.",
        "most_poison",
    ),
    Contradiction(
        "How little poison sine needs",
        (
            Statement(
                "4.5",
                "sine is \u201cextremely effective even with 2% poisoning\u201d, against the most robust class",
            ),
            Statement("Table 2", "the same model and data, average over all classes, a rate of 0.1: 0.63"),
        ),
        "Five times the poison on classes that are easier on average succeeds in under two thirds of cases.",
        "least_poison",
    ),
    Contradiction(
        "ASR at alpha 1",
        (
            Statement(
                "4.4", "higher alpha \u201ccan increase the trigger's effectiveness significantly\u201d"
            ),
            Statement(
                "4.4, Fig. 6d",
                "0 % at alpha 1, as all poisoned samples are identical and \u201c0% and 100% are the only valid "
                "outcomes\u201d",
            ),
        ),
        "Then ASR at alpha 1 is one bit a model, and the highest alpha says least about effectiveness. The argument "
        "needs one pattern for all images, which sine and low variance are.",
        "alpha_one",
    ),
    Contradiction(
        "What SNNL is",
        (
            Statement(
                "2.3, citing Frosst et al.",
                "SNNL as introduced there; in the cited work the numerator sums over pairs of the same label",
            ),
            Statement(
                "Eq. 6",
                "sums over pairs of different labels (y(i) \u2260 y(j)), and its denominator excludes k = j, not k = i",
            ),
        ),
        "The printed form draws different classes together. Both are trained; claims are judged on Frosst's.",
        "snnl",
    ),
    Contradiction(
        "The size of the clean-set",
        (
            Statement("3", "the split is 76/19/5, the second part the clean-set"),
            Statement("3", "\u201cthe clean-set is 1/5th the size of the poison-set\u201d"),
        ),
        "19/76 is a quarter; a fifth is its share of the two together. This reproduction splits 76/19/5.",
    ),
    Contradiction(
        "The effective poisoning rate",
        (
            Statement("2.5", "p is the share of \u201cthe total number of training samples\u201d"),
            Statement("Eq. 9", "divides by a sum over the source classes, which leave the poison class out"),
            Statement(
                "Table 1", "follows the total: 71/4,003 = 0.018, where the source classes alone give 0.022"
            ),
        ),
        "Table 1 stands; two of its five rates (0.025, 0.023) agree with neither reading.",
    ),
    Contradiction(
        "How many Flowers images are trained on",
        (
            Statement(
                "2.1, 3", "4,242 images, of which \u201caround 60%\u201d are trained on (76 % x 80 %: 2,579)"
            ),
            Statement("2.5, Table 1", "the classes of \u201cthe training set\u201d count 4,003 together"),
        ),
        "4,003 is 94 % of 4,242. Table 1's arithmetic is checked on its own counts.",
    ),
    Contradiction(
        "The square on CIFAR-10",
        (
            Statement("2.4", "a 22 pixel square, 22 pixels from the top and left: it ends at pixel 44"),
            Statement("2.1", "CIFAR-10's images are 32x32"),
        ),
        "Images or triggers must have been scaled, and the paper does not say which; the same goes for sine, whose "
        "period is 40 pixels. Here a profile says how large its triggers are (see what differs from the paper).",
    ),
    Contradiction(
        "What alpha is called",
        (
            Statement("2.4, 4.4", "alpha is \u201cthe transparency of the trigger\u201d"),
            Statement("Eq. 7", "alpha is the trigger's weight: at 1 nothing of the image is left under it"),
        ),
        "It is an opacity. The name is kept, eq. 7 is followed.",
    ),
)

HOLDS = (
    "180 runs (4.1): 3 architectures x 4 triggers x 15 poison classes, 5 of Flowers and 10 of CIFAR-10",
    "50 runs a strategy (4.3): 5 poison classes x 10",
    "31 points (4.3): 82 % less 51 %",
    "432 runs (4.4): 2 triggers x 2 rates x 3 architectures x 2 datasets x 18, the 18 not said (alphas or repetitions)",
    "44 runs (4.5): 4 triggers x 11 rates, the rates not said but for 2 %",
    "around 60 % of the data for training (3): 76 % x 80 % = 61 %",
    "several ASRs above 60 % (4.1): ten of Table 2's 24 before retraining",
)
"""Counts and sums of the paper that were checked beside these and do hold."""
