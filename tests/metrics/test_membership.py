"""M_mem against arbitrary precision, its AUC against scikit-learn's, its ROC against every threshold."""

import math

import mpmath  # type: ignore[import-untyped]
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from repro.metrics.membership import auc, membership_metric, roc_tpr, ties


def exact(logits: list[float], label: int) -> mpmath.mpf:
    """The printed formula (desanctis 2.3) in 1,200 digits: enough for 1 - f at a gap of 700."""
    with mpmath.workdps(1200):
        weights = [mpmath.exp(mpmath.mpf(z)) for z in logits]
        f = [w / mpmath.fsum(weights) for w in weights]
        others = [f[i] * mpmath.log(1 - f[i]) for i in range(len(f)) if i != label]
        return -(1 - f[label]) * mpmath.log(f[label]) - mpmath.fsum(others)


@given(st.lists(st.floats(-60, 60), min_size=2, max_size=6), st.data())
@settings(deadline=None, max_examples=60)
def test_metric_is_the_printed_formula(logits: list[float], data: st.DataObject) -> None:
    label = data.draw(st.integers(0, len(logits) - 1))
    computed = membership_metric(torch.tensor(logits, dtype=torch.float64), torch.tensor(label)).item()
    assert computed == pytest.approx(float(exact(logits, label)), rel=1e-11)


@pytest.mark.parametrize("gap", [-345.0, -37.5, -20.5, 0.0, 20.0, 40.0, 100.0, 345.0])
def test_metric_keeps_full_precision_at_any_confidence(gap: float) -> None:
    logits = [gap, 0.0, -1.0, 0.25]
    computed = membership_metric(torch.tensor(logits, dtype=torch.float64), torch.tensor(0)).item()
    assert computed == pytest.approx(float(exact(logits, 0)), rel=1e-11)


def test_certainty_in_the_true_label_gives_exactly_zero_and_its_loss_no_bound() -> None:
    gaps = torch.tensor([400.0, 1e4, 1e300, -1e4, -1e300], dtype=torch.float64)
    metric = membership_metric(
        torch.stack((gaps, torch.zeros_like(gaps)), -1), torch.zeros(5, dtype=torch.int64)
    )
    assert metric[:3].tolist() == [0.0, 0.0, 0.0]
    # Two classes: the wrong one is as sure as the true one is not, and each term is the gap itself.
    assert metric[3:].tolist() == [2e4, 2e300]


def test_metric_falls_strictly_as_confidence_grows_until_float64_ends() -> None:
    gaps = torch.linspace(-1000, 365, 3001, dtype=torch.float64)
    logits = torch.stack((gaps, torch.zeros_like(gaps), torch.full_like(gaps, -2.0)), -1)
    metric = membership_metric(logits, torch.zeros(len(gaps), dtype=torch.int64))
    assert (metric.diff() < 0).all()


@given(st.lists(st.floats(-1e308, 1e308), min_size=2, max_size=5), st.data())
@settings(deadline=None)
def test_metric_is_never_negative_and_never_nan(logits: list[float], data: st.DataObject) -> None:
    label = data.draw(st.integers(0, len(logits) - 1))
    computed = membership_metric(torch.tensor(logits, dtype=torch.float64), torch.tensor(label)).item()
    assert computed >= 0
    if max(logits) - min(logits) < 1e307:
        assert math.isfinite(computed)


def test_a_fleets_metric_is_its_members_metrics() -> None:
    g = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(3, 4, 5, generator=g), torch.randint(0, 5, (3, 4), generator=g)
    stacked = membership_metric(logits, labels)
    assert stacked.dtype == torch.float64
    for k in range(3):
        for i in range(4):
            torch.testing.assert_close(stacked[k, i], membership_metric(logits[k, i], labels[k, i]))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_logits_of_a_diverged_model_are_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="diverged"):
        membership_metric(torch.tensor([0.0, bad]), torch.tensor(0))


scores = st.lists(st.integers(0, 6).map(float), min_size=1, max_size=12)


@given(scores, scores)
@settings(deadline=None)
def test_auc_is_scikit_learns_with_ties_counted_half(member: list[float], nonmember: list[float]) -> None:
    from sklearn.metrics import roc_auc_score

    truth = [1] * len(member) + [0] * len(nonmember)
    expected = roc_auc_score(truth, [-s for s in member + nonmember])
    assert auc(torch.tensor(member), torch.tensor(nonmember)).item() == pytest.approx(expected, abs=1e-12)
    equal = sum(a == b for a in member for b in nonmember) / (len(member) * len(nonmember))
    assert ties(torch.tensor(member), torch.tensor(nonmember)).item() == pytest.approx(equal, abs=1e-12)


def test_auc_is_above_a_half_when_members_score_lower() -> None:
    low, high = torch.tensor([0.0, 1.0]), torch.tensor([2.0, math.inf])
    assert auc(low, high).item() == 1
    assert auc(high, low).item() == 0
    assert auc(low, low).item() == 0.5


@given(scores, scores, st.lists(st.floats(0, 1), min_size=1, max_size=4))
@settings(deadline=None)
def test_roc_is_the_best_threshold_within_the_allowed_rate(
    member: list[float], nonmember: list[float], fprs: list[float]
) -> None:
    def rate(values: list[float], threshold: float) -> float:
        return sum(v <= threshold for v in values) / len(values)

    thresholds = [-1.0, *member, *nonmember]
    best = [max(rate(member, t) for t in thresholds if rate(nonmember, t) <= fpr) for fpr in fprs]
    computed = roc_tpr(torch.tensor(member), torch.tensor(nonmember), fprs)
    assert computed.tolist() == pytest.approx(best, abs=1e-12)


def test_a_rate_the_set_reaches_exactly_is_allowed_in_spite_of_rounding() -> None:
    nonmember = torch.arange(100.0)
    # 0.29 * 100 is 28.999999999999996 in floating point, yet 29 false positives of 100 are a rate of 0.29.
    assert roc_tpr(torch.tensor([28.5]), nonmember, [0.29, 0.28]).tolist() == [1.0, 0.0]


def test_stacked_scores_give_each_members_curve() -> None:
    g = torch.Generator().manual_seed(1)
    member = torch.randint(0, 9, (2, 3, 7), generator=g).double()
    nonmember = torch.randint(0, 9, (2, 3, 5), generator=g).double()
    fprs = [0.0, 0.2, 0.5, 1.0]
    for i in range(2):
        for k in range(3):
            a, b = member[i, k], nonmember[i, k]
            assert auc(member, nonmember)[i, k] == auc(a, b)
            assert ties(member, nonmember)[i, k] == ties(a, b)
            assert torch.equal(roc_tpr(member, nonmember, fprs)[i, k], roc_tpr(a, b, fprs))


@pytest.mark.parametrize("measure", [auc, ties, lambda a, b: roc_tpr(a, b, [0.1])])
@pytest.mark.parametrize(
    ("member", "nonmember", "message"),
    [
        ([], [1.0], "no member scores"),
        ([1.0], [], "no non-member scores"),
        ([math.nan], [1.0], "NaN among the member scores"),
        ([1.0], [math.nan], "NaN among the non-member scores"),
    ],
)
def test_empty_or_undefined_scores_are_refused(
    measure: object, member: list[float], nonmember: list[float], message: str
) -> None:
    assert callable(measure)
    with pytest.raises(ValueError, match=message):
        measure(torch.tensor(member), torch.tensor(nonmember))


def test_a_rate_outside_zero_to_one_is_refused() -> None:
    one: Tensor = torch.ones(1)
    with pytest.raises(ValueError, match="false-positive rates are in"):
        roc_tpr(one, one, [1.5])
