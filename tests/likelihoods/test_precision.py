"""Log-likelihoods against double precision, given A(x_0) in double, up to 1e9 counts and down to
noise that single precision does not resolve.
"""

import math

import pytest
import torch
from torch.distributions import Normal, Poisson

from deft.likelihoods import EmissionLikelihood, GaussianLikelihood, Observation, PoissonLikelihood
from deft.likelihoods.counts import log_poisson
from deft.noise import Noise
from deft.operators import Identity, InUnits, Tomography, Transmission, views
from deft.transitions import Transition

DOSES = [10.0, 1e3, 1e5, 1e6, 1e7, 1e8, 1e9]


def scan(photons, dtype=torch.float32):
    rays = InUnits(Tomography(24, views(20), pixel=40 / 24), scale=0.25, offset=0.25)
    return Transmission(rays, photons).to(dtype)


def slices(dtype=torch.float32):
    return (2 * torch.rand(2, 1, 24, 24) - 1).to(dtype)


@pytest.mark.parametrize("photons", DOSES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_counts_behind_an_object(photons, dtype):
    x_0 = slices(dtype)
    likelihood = PoissonLikelihood(scan(photons, dtype))
    y = likelihood.sample(x_0, Noise([0, 1]))
    rate = scan(photons, torch.float64)(x_0.double())
    expected = Poisson(rate).log_prob(y.double()).flatten(1).sum(1)
    found = likelihood.log_prob(x_0, y)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("count", DOSES)
def test_counts_that_an_operator_says(count):
    x_0 = torch.rand(2, 1, 16, 16) + 0.1
    likelihood = EmissionLikelihood(Identity(), 1 / count)
    y = likelihood.sample(x_0, Noise([0, 1]))
    gain = likelihood.gain.double()
    expected = (
        (y / gain * (x_0 / gain).log() - x_0 / gain - torch.lgamma(y / gain + 1)).flatten(1).sum(1)
    )
    torch.testing.assert_close(likelihood.log_prob(x_0, y), expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("sigma_y", [1.0, 1e-3, 1e-7, 1e-25])
def test_gaussian_noise(sigma_y):
    x_0 = torch.rand(2, 1, 24, 24)
    likelihood = GaussianLikelihood(Tomography(24, views(20)), sigma_y)
    clean = Tomography(24, views(20)).double()(x_0.double())
    y = clean + sigma_y * torch.randn_like(clean)
    expected = Normal(clean, likelihood.sigma_y.double()).log_prob(y).flatten(1).sum(1)
    if sigma_y > 1e-15:  # below, even double precision does not resolve A(x_0) + noise
        torch.testing.assert_close(likelihood.log_prob(x_0, y), expected, rtol=1e-6, atol=0)
    assert likelihood.log_prob(x_0, y.float()).isfinite().all()


class TestPoissonsLaw:
    def test_it_is_the_textbook_one_where_that_is_precise(self):
        counts = torch.arange(200, dtype=torch.float64)[:, None]
        rate = torch.logspace(-3, 3, 50, dtype=torch.float64)
        torch.testing.assert_close(
            log_poisson(counts, rate.log()), Poisson(rate).log_prob(counts), rtol=1e-9, atol=1e-9
        )

    @pytest.mark.parametrize("count", [3e4, 1e6, 1e9, 1e12])
    def test_at_many_counts_it_is_a_normal_density(self, count):
        """To 1 / sqrt(count), relative to 1 nat: the skewness of the law, at no deviation 1 /
        (12 count).
        """
        rate = torch.tensor([count], dtype=torch.float64)
        found = log_poisson(rate, rate.log())
        assert float(found) == pytest.approx(
            -0.5 * math.log(2 * math.pi * count) - 1 / (12 * count), rel=1e-12
        )

    def test_its_gradient_is_y_minus_rate(self):
        counts = torch.tensor([0.0, 0.0, 1.0, 15.0, 16.0, 300.0, 1e9, 5.0], dtype=torch.float64)
        log_rate = torch.tensor(
            [-50.0, 2.0, -3.0, 2.0, 2.9, 5.7, math.log(1.0001e9), 200.0], dtype=torch.float64
        ).requires_grad_()
        gradient = torch.autograd.grad(log_poisson(counts, log_rate).sum(), log_rate)[0]
        torch.testing.assert_close(
            gradient, (counts - log_rate.exp()).detach(), rtol=1e-9, atol=1e-9
        )

    def test_no_rate_and_no_count(self):
        found = log_poisson(
            torch.tensor([0.0, 3.0], dtype=torch.float64),
            torch.tensor([-800.0, -2000.0], dtype=torch.float64),
        )
        assert found[0] == 0
        assert float(found[1]) == pytest.approx(-6000 - math.log(6))


def test_the_gradient_of_the_signal_has_its_own_precision():
    x_0 = slices().requires_grad_()
    likelihood = PoissonLikelihood(scan(1e6))
    y = likelihood.sample(x_0.detach(), Noise([0, 1]))
    gradient = torch.autograd.grad(likelihood.log_prob(x_0 + 0.01, y).sum(), x_0)[0]
    assert gradient.dtype == torch.float32
    torch.testing.assert_close(
        gradient, likelihood.gradient(x_0.detach() + 0.01, y), rtol=1e-3, atol=1.0
    )  # of gradients of 1e5


class TestCountsKeepTheirDigits:
    def test_draws_beyond_single_precision_are_in_double(self):
        x_0 = slices()
        few, many = (
            PoissonLikelihood(scan(photons)).sample(x_0, Noise([0, 1])) for photons in (1e6, 1e9)
        )
        assert few.dtype == torch.float32
        assert many.dtype == torch.float64
        assert (many != many.float().double()).any()
        assert (many == many.round()).all()

    def test_a_signal_is_the_same_alone(self):
        x_0, photons = slices(), torch.tensor([1e4, 1e9])
        both = PoissonLikelihood(scan(photons)).sample(x_0, Noise([0, 1]))
        alone = PoissonLikelihood(scan(1e4)).sample(x_0[:1], Noise([0]))
        assert torch.equal(both[:1], alone.double())

    def test_what_follows_is_in_the_precision_of_the_signal(self):
        x_0, likelihood = slices(), PoissonLikelihood(scan(1e9))
        observation = Observation(likelihood.sample(x_0, Noise([0, 1])), likelihood).in_dtype(
            torch.float32
        )
        assert observation.y.dtype == torch.float64
        for found in (
            observation.residual(x_0),
            observation.lifted,
            likelihood.guidance(x_0, torch.full((1,), 0.1), observation.y),
            likelihood.gradient(x_0, observation.y),
            likelihood.misfit(x_0, observation.y),
        ):
            assert found.dtype == torch.float32
            assert found.isfinite().all()
        assert float((likelihood.misfit(x_0, observation.y) - 1).abs().max()) < 0.1


def test_the_weight_of_a_step_is_that_of_double_precision():
    """log p - log q of one step, from what single precision holds of x_s, x_t, x_0_hat and
    shift.
    """
    one = torch.ones(1, dtype=torch.float64)
    transition = Transition(0.9 * one, 0.1 * one, 1e-3 * one)
    x_t, x_0_hat, shift = torch.randn(3, 2, 3, 32, 32).unbind()
    shift = 1e-3 * shift
    x_s = transition.mean(x_0_hat + shift, x_t) + 1e-3 * torch.randn_like(x_t)
    mean = 0.9 * x_0_hat.double() + 0.1 * x_t.double()
    p, q = (
        Normal(m, 1e-3).log_prob(x_s.double()).flatten(1).sum(1)
        for m in (mean, mean + 0.9 * shift.double())
    )
    found = transition.log_ratio(x_s, x_t, x_0_hat, shift)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, p - q, rtol=1e-6, atol=0)
