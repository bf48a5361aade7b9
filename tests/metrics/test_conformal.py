"""Conformal factors: exact ranks, expected shares, groups, and a Gaussian whose answer is known."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deft.errors import InvalidInput
from deft.metrics.conformal import (
    by_deviation,
    by_quantiles,
    factor,
    fewest,
    number_of_units,
    usual,
    weights,
)
from tests.refusal import refused

T_95 = {1: 6.3138, 2: 2.9200, 3: 2.3534, 4: 2.1318, 7: 1.8946, 30: 1.6973}  # tables of Student's t


def gaussian(images: int, samples: int, shrunk: float = 1.0, entries: int = 1, seed: int = 0):
    """Truths and samples of the posterior N(mean, 4) of each image; samples' deviations from the
    mean are shrunk.
    """
    draw = torch.Generator().manual_seed(seed)
    mean = torch.randn(images, 1, entries, generator=draw)
    x = mean + 2 * shrunk * torch.randn(images, samples, entries, generator=draw)
    truth = mean[:, 0] + 2 * torch.randn(images, entries, generator=draw)
    return x, truth


@pytest.mark.parametrize(("level", "count"), [(0.5, 1), (0.8, 4), (0.9, 9), (0.95, 19), (0.99, 99)])
def test_the_fewest_units_are_those_that_the_level_needs(level, count):
    assert fewest(level) == count
    scores = torch.arange(count, dtype=torch.float64)[:, None]
    assert factor(scores, level) == count - 1  # the largest score
    if count > 1:
        refused(lambda: factor(scores[1:], level), count - 1, f"at least {count}", "give more")


@given(
    st.lists(st.floats(-100, 100), min_size=9, max_size=60),
    st.sampled_from([0.5, 0.75, 0.8, 0.9]),
)
def test_of_one_quantity_it_is_the_split_conformal_quantile(scores, level):
    rank = math.ceil((len(scores) + 1) * level - 1e-9)
    q = factor(torch.tensor(scores, dtype=torch.float64)[:, None], level)
    assert q == sorted(scores)[rank - 1]


@settings(max_examples=40)
@given(st.data())
def test_it_is_the_least_factor_whose_risk_is_controlled(data):
    n = data.draw(st.integers(9, 25))
    draw = torch.Generator().manual_seed(data.draw(st.integers(0, 10_000)))
    scores = torch.rand(n, 7, generator=draw, dtype=torch.float64)
    where = torch.rand(n, 7, generator=draw) < 0.7
    units = [f"u{k % max(9, n // 2)}" for k in range(n)]
    q = factor(scores, 0.8, where=where, units=units)

    def risk(at: float) -> float:
        losses: dict[str, list[float]] = {}
        for row, own, unit in zip(scores, where, units):
            if own.any():
                losses.setdefault(unit, []).append(float((row[own] > at).double().mean()))
        means = [sum(parts) / len(parts) for parts in losses.values()]
        return (sum(means) + 1) / (len(means) + 1)

    assert risk(q) <= 0.2 + 1e-9
    below = scores[where & (scores < q)]
    assert not len(below) or risk(float(below.max())) > 0.2 + 1e-9


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.floats(0.05, 5))
def test_left_out_in_turn_the_others_hold_it_on_average(seed, scale):
    """The property behind the promise, without chance: over which of n + 1 units is the new one,
    the mean share covered is at least the level, whatever the scores are.
    """
    draw = torch.Generator().manual_seed(seed)
    scores = torch.randn(14, 5, generator=draw, dtype=torch.float64).exp() * scale
    scores = scores + 3 * torch.rand(14, 1, generator=draw, dtype=torch.float64)  # dependent within
    shares = [
        float((scores[i] <= factor(torch.cat([scores[:i], scores[i + 1 :]]), 0.8)).double().mean())
        for i in range(14)
    ]
    assert 0.8 - 1e-9 <= sum(shares) / 14 <= 0.8 + 2 / 14 + 1e-9


@settings(max_examples=25)
@given(st.randoms(use_true_random=False))
def test_the_order_of_units_says_nothing(random):
    scores = torch.rand(12, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    order = list(range(12))
    random.shuffle(order)
    assert factor(scores[order], 0.8) == factor(scores, 0.8)


@pytest.mark.parametrize("degrees", T_95)
def test_student(degrees):
    samples = degrees + 1
    found = usual(0.9, samples) / math.sqrt(1 + 1 / samples)
    assert found == pytest.approx(T_95[degrees], abs=1e-4)


def test_of_many_samples_it_is_the_normal_quantile():
    assert usual(0.9, 100_001) == pytest.approx(1.644854, abs=1e-4)


@pytest.mark.parametrize("samples", [2, 3, 8])
def test_a_gaussian_posterior_covers_exactly_and_needs_the_usual_factor(samples):
    x, truth = gaussian(40_000, samples)
    scores = by_deviation(x, 1e-6).scores(truth)
    q = usual(0.9, samples)
    inside = float((scores <= q).double().mean())
    assert inside == pytest.approx(0.9, abs=4 * math.sqrt(0.09 / 40_000))
    assert factor(scores, 0.9) == pytest.approx(q, rel=0.06)


def test_samples_of_half_the_spread_double_the_factor():
    """Exactly where the mean is known, with the same draws; with the mean of 40 samples nearly."""
    x, truth = gaussian(4000, 40)
    half, _ = gaussian(4000, 40, shrunk=0.5)
    right, narrow = by_deviation(x, 1e-9), by_deviation(half, 1e-9)
    assert torch.allclose(narrow.unit, right.unit / 2, rtol=1e-4)
    ratio = factor(narrow.scores(truth), 0.9) / factor(right.scores(truth), 0.9)
    assert ratio == pytest.approx(2, rel=0.02)


def test_what_was_calibrated_holds_on_other_images():
    for shrunk in (0.5, 1.0, 2.0):
        x, truth = gaussian(6000, 8, shrunk, entries=4)
        bands = by_deviation(x, 1e-6)
        scores = bands.scores(truth)
        q = factor(scores[:2000], 0.9)
        low, high = bands.interval(q)
        inside = ((low <= truth) & (truth <= high)).double()[2000:].mean(1)
        assert torch.equal((scores <= q)[2000:].double().mean(1), inside)
        error = math.hypot(float(inside.std()) / 4000**0.5, float(inside.std()) / 2000**0.5)
        assert float(inside.mean()) == pytest.approx(0.9, abs=4 * error)


def test_quantiles_hold_too_and_may_shrink():
    x, truth = gaussian(4000, 8, shrunk=3.0)
    q = factor(by_quantiles(x, 0.9).scores(truth)[:2000], 0.9)
    assert q < 0
    inside = (by_quantiles(x, 0.9).scores(truth)[2000:] <= q).double().mean()
    assert float(inside) == pytest.approx(0.9, abs=0.04)


def test_patients_are_the_units():
    """One patient with many images counts as much as one with few."""
    scores = torch.cat([torch.full((30, 1), 5.0), torch.arange(9.0)[:, None]])
    units = ["a"] * 30 + [f"b{k}" for k in range(9)]
    assert number_of_units(scores > -1, units) == 10
    assert factor(scores, 0.5, units=units) == 5.0
    assert factor(scores, 0.9, units=units) == 8.0
    share = weights(scores, units=units)
    assert float(share[:30].sum()) == pytest.approx(0.1)
    assert float(share.sum()) == pytest.approx(1.0)
    two = ["a"] * 30 + ["b"] * 8
    refused(lambda: factor(scores[:38], 0.9, units=two), 2, "at least 9")


def test_images_without_any_of_the_class_do_not_count():
    scores = torch.arange(20.0).reshape(10, 2)
    where = torch.ones(10, 2, dtype=torch.bool)
    where[9] = False
    assert factor(scores, 0.9, where=where) == 17.0
    where[8] = False
    with pytest.raises(InvalidInput):
        factor(scores, 0.9, where=where)


def test_samples_that_agree_have_finite_scores_and_a_range_loses_no_coverage():
    x = torch.full((9, 4, 3), 0.5)
    bands = by_deviation(x, 0.01)
    scores = bands.scores(torch.full((9, 3), 0.52))
    assert torch.allclose(scores, torch.tensor(2.0), rtol=1e-4)
    low, high = bands.interval(100.0, (0.0, 1.0))
    assert float(low.min()) == 0.0
    assert float(high.max()) == 1.0


def test_what_is_wrong_is_refused():
    scores = torch.rand(12, 2)
    for wrong in (
        lambda: factor(scores, 1.0),
        lambda: factor(scores, 0.0),
        lambda: factor(scores * torch.nan, 0.8),
        lambda: factor(scores, 0.8, where=torch.ones(12, 3, dtype=torch.bool)),
        lambda: factor(scores, 0.8, units=["a"] * 11),
        lambda: by_deviation(torch.rand(3, 1, 2), 0.1),
        lambda: by_deviation(torch.rand(3, 2, 2), 0.0),
        lambda: usual(0.9, 1),
    ):
        with pytest.raises(InvalidInput):
            wrong()
