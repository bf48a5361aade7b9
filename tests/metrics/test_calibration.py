import json
import math

import pytest
import torch

from deft.errors import InvalidInput
from deft.htransforms.exact import Exact
from deft.metrics.calibration import (
    coverage,
    crps,
    linear_functionals,
    rank_histogram,
    ranks,
    uncertain,
)
from deft.noise import Noise
from tests.closed_form import DOUBLE, measured, mixture


def exact_draws(n=1500, samples=19, seed=0):
    """Truths of a mixture, and draws of the exact posterior given a measurement of each."""
    prior = mixture()
    noise = Noise(range(seed, seed + n), dtype=DOUBLE)
    observation = measured(prior, n=n, seed=seed)
    truth = prior.sample(noise.stream(5))  # what `measured` has measured
    posterior = Exact(prior).posterior(observation)
    owner = torch.arange(n).repeat_interleave(samples)
    drawn = posterior.take(owner).sample(noise.stream(77).repeat(samples))
    return drawn.reshape(n, samples, 3), truth


@pytest.fixture(scope="module")
def exact():
    return exact_draws()


def widened(samples, factor):
    centre = samples.mean(1, keepdim=True)
    return centre + factor * (samples - centre)


def test_exact_posterior_draws_are_calibrated(exact):
    samples, truth = exact
    functionals = linear_functionals(samples, truth, 5)
    for drawn, true in [(samples, truth), functionals]:
        found = ranks(drawn, true)
        histogram = rank_histogram(found, 19, bins=10)
        assert histogram.p_value > 0.01
        assert (
            max(
                abs(ratio - 1) / error
                for ratio, error in zip(histogram.ratios, histogram.standard_errors)
            )
            < 3.5
        )
        covered = coverage(found, 19)
        for level, value, error in zip(covered.levels, covered.values, covered.standard_errors):
            assert abs(value - level) < 3.5 * error
            assert error < 0.02


@pytest.mark.parametrize(("factor", "ends_over_middle"), [(0.6, 2.0), (1.8, 0.5)])
def test_draws_too_narrow_or_too_wide_are_not(exact, factor, ends_over_middle):
    samples, truth = exact
    found = ranks(widened(samples, factor), truth)
    histogram = rank_histogram(found, 19, bins=10)
    assert histogram.p_value < 1e-6
    shape = (histogram.ratios[0] + histogram.ratios[-1]) / (
        histogram.ratios[4] + histogram.ratios[5]
    )
    assert (shape > ends_over_middle) if factor < 1 else (shape < ends_over_middle)
    covered = coverage(found, 19)
    for level, value, error in zip(covered.levels, covered.values, covered.standard_errors):
        assert ((level - value) if factor < 1 else (value - level)) > 3 * error


def test_a_bias_is_a_slope(exact):
    samples, truth = exact
    histogram = rank_histogram(ranks(samples + 0.3 * samples.std(), truth), 19, bins=4)
    assert histogram.p_value < 1e-6
    assert histogram.ratios[0] > 1.2 > 0.8 > histogram.ratios[-1]


def test_ranks_by_hand():
    samples = torch.tensor([[[1.0], [2.0], [3.0]]]).expand(3, 3, 1)
    assert ranks(samples, torch.tensor([[0.0], [2.5], [9.0]])).tolist() == [[0], [2], [3]]


def test_ties_are_broken_evenly():
    """A pixel that all samples and the truth agree on has a uniform rank, and so has a sample of
    a discrete variable.
    """
    n, m = 20_000, 4
    same = ranks(torch.ones(n, m, 1), torch.ones(n, 1))
    assert rank_histogram(same, m, bins=5).p_value > 0.01
    discrete = torch.randint(0, 3, (n, m + 1, 1)).double()
    found = ranks(discrete[:, 1:], discrete[:, 0])
    assert rank_histogram(found, m, bins=5).p_value > 0.01
    assert torch.equal(ranks(discrete[:, 1:], discrete[:, 0]), found)  # fixed by the seed
    assert not torch.equal(ranks(discrete[:, 1:], discrete[:, 0], seed=1), found)


@pytest.mark.parametrize("m", [1, 4, 40])
def test_coverage_is_unbiased_for_any_number_of_samples(m):
    draws = torch.randn(30_000, m + 1, 1, dtype=DOUBLE)
    covered = coverage(ranks(draws[:, 1:], draws[:, 0]), m)
    for level, value in zip((0.5, 0.8, 0.95), covered.values):
        assert value == pytest.approx(level, abs=4 * math.sqrt(level * (1 - level) / 30_000))


def test_bins_that_hold_unequal_numbers_of_ranks():
    draws = torch.randn(20_000, 7, 1)
    histogram = rank_histogram(ranks(draws[:, 1:], draws[:, 0]), 6, bins=3)  # 3, 2 and 2 of 7 ranks
    assert histogram.p_value > 0.01
    assert len(rank_histogram(ranks(draws[:, 1:], draws[:, 0]), 6, bins=20).ratios) == 7


def test_standard_errors_count_observations_not_pixels():
    """200 pixels that are copies of one: as uncertain as one of them."""
    draws = torch.randn(300, 10, 1, dtype=DOUBLE)
    one = ranks(draws[:, 1:], draws[:, 0])
    copies = one.expand(-1, 200)
    few, many = (
        coverage(one, 9, [0.8]),
        coverage(copies, 9, [0.8]),
    )  # ranks 1 to 8, whatever the random part
    assert many.values == pytest.approx(few.values)
    assert many.standard_errors == pytest.approx(few.standard_errors)
    single, many = rank_histogram(one, 9, bins=5), rank_histogram(copies, 9, bins=5)
    assert many.p_value == pytest.approx(single.p_value)
    assert many.standard_errors == pytest.approx(single.standard_errors)
    expected = [math.sqrt(0.2 * 0.8 / 300) / 0.2] * 5  # binomial
    assert single.standard_errors == pytest.approx(expected, rel=0.15)


def test_p_values_of_uniform_ranks_are_uniform():
    """Of 300 histograms with pixels that depend on each other: their mean and how many are below
    0.05.
    """
    p_values = []
    for k in range(300):
        generator = torch.Generator().manual_seed(k)
        common = torch.randn(150, 10, 1, generator=generator)
        draws = common + 0.5 * torch.randn(150, 10, 6, generator=generator)
        p_values.append(rank_histogram(ranks(draws[:, 1:], draws[:, 0]), 9, bins=5).p_value)
    assert sum(p_values) / 300 == pytest.approx(0.5, abs=0.06)
    assert sum(p < 0.05 for p in p_values) / 300 < 0.09


def test_choosing_uncertain_entries_leaves_ranks_uniform():
    """Also where every entry is near the threshold."""
    draws = torch.randn(20_000, 6, 1, dtype=DOUBLE)
    samples, truth = draws[:, 1:], draws[:, 0]
    where = uncertain(samples, truth, 1.0)
    assert 0.2 < where.double().mean() < 0.8
    found = ranks(samples, truth)
    assert rank_histogram(found, 5, bins=6, where=where).p_value > 0.01
    alone = samples.std(1) > 1.0  # what a choice by the samples alone would do
    assert rank_histogram(found, 5, bins=6, where=alone).p_value < 1e-6
    covered = coverage(found, 5, where=where)
    assert covered.values[0] == pytest.approx(0.5, abs=4 * covered.standard_errors[0])


def test_the_crps_of_a_gaussian():
    """s (z (2 Phi(z) - 1) + 2 phi(z) - 1 / sqrt(pi)), with z = (x_0 - m) / s; on average
    unbiased for any number of samples.
    """
    m, s = 0.3, 0.7
    truth = torch.tensor([-1.0, 0.0, 0.5, 2.0], dtype=DOUBLE)
    z = (truth - m) / s
    normal = torch.distributions.Normal(torch.zeros((), dtype=DOUBLE), 1.0)
    expected = s * (
        z * (2 * normal.cdf(z) - 1) + 2 * normal.log_prob(z).exp() - 1 / math.sqrt(math.pi)
    )
    for number in (2, 50):
        repeats = 200_000 // number
        score = crps(
            m + s * torch.randn(repeats, number, 4, dtype=DOUBLE), truth.expand(repeats, 4)
        )
        torch.testing.assert_close(score.mean(0), expected, rtol=0, atol=0.01)
    one = torch.tensor([[[1.0], [4.0]]])
    assert crps(one, torch.tensor([[2.0]])).item() == pytest.approx((1 + 2) / 2 - 3 / 2)


def test_the_crps_is_lowest_for_the_exact_posterior(exact):
    samples, truth = exact
    best = crps(samples, truth).mean()
    assert crps(widened(samples, 0.5), truth).mean() > best
    assert crps(widened(samples, 2.0), truth).mean() > best
    assert crps(samples + 0.3, truth).mean() > best


def test_functionals_are_inner_products_with_unit_vectors():
    samples, truth = torch.randn(2, 3, 1, 4, 4, dtype=DOUBLE), torch.randn(2, 1, 4, 4, dtype=DOUBLE)
    of_samples, of_truth = linear_functionals(samples, truth, 40)
    assert of_samples.shape == (2, 3, 40)
    torch.testing.assert_close(linear_functionals(samples, samples[:, 1], 40)[1], of_samples[:, 1])
    units = linear_functionals(samples[:, :1].expand(2, 16, 1, 4, 4), truth, 40)
    assert units[1].shape == of_truth.shape == (2, 40)
    basis = torch.eye(16, dtype=DOUBLE).reshape(1, 16, 1, 4, 4)
    directions = linear_functionals(basis, truth[:1], 40)[0][0]
    torch.testing.assert_close(
        directions.norm(dim=0), torch.ones(40, dtype=DOUBLE), rtol=1e-6, atol=0
    )


def test_cards(exact):
    samples, truth = exact
    found = ranks(samples, truth)
    json.dumps([coverage(found, 19).card(), rank_histogram(found, 19).card()], allow_nan=False)
    assert str(coverage(found, 19, [0.5])).startswith("0.5: 0.")


def test_what_is_refused():
    samples, truth = torch.zeros(3, 5, 2), torch.zeros(3, 2)
    with pytest.raises(InvalidInput, match=r"got \(3, 5, 2\) and \(3, 4\)"):
        ranks(samples, torch.zeros(3, 4))
    with pytest.raises(InvalidInput, match="not finite"):
        crps(samples + math.nan, truth)
    with pytest.raises(InvalidInput, match="at least two samples"):
        crps(samples[:, :1], truth)
    found = ranks(samples, truth)
    with pytest.raises(InvalidInput, match="ranks among 3 samples run from 0 to 3"):
        coverage(found + 4, 3)
    with pytest.raises(InvalidInput, match="between 0 and 1; got"):
        coverage(found, 5, [95])
    with pytest.raises(InvalidInput, match="leaves no entry"):
        rank_histogram(found, 5, where=uncertain(samples, truth, 0.1))
    with pytest.raises(InvalidInput, match="`where` chooses entries"):
        coverage(found, 5, where=torch.ones(3, dtype=torch.bool))
