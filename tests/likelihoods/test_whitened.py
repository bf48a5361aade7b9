"""Noise that differs between the entries of y, or is correlated: exact by whitening."""

import pytest
import torch
from torch.distributions import MultivariateNormal

from deft.htransforms.exact import Exact
from deft.htransforms.learned import LearnedHTransform
from deft.htransforms.mmps import MMPS
from deft.htransforms.pigdm import PiGDM
from deft.likelihoods import GaussianLikelihood, Observation
from deft.noise import Noise
from deft.operators import Inpainting, Matrix, MultiCoilMRI
from deft.posterior import Posterior
from deft.priors.gaussian_mixture import GaussianMixture
from deft.samplers.ddim import DDIM
from deft.samplers.ddnm_plus import DDNMPlus
from deft.samplers.ddrm import DDRM
from deft.schedules import VPCosine
from tests.closed_form import DOUBLE, gaussian
from tests.refusal import refused

A = torch.tensor([[1.0, 0.5, -0.3], [0.2, -1.0, 0.7]], dtype=DOUBLE)
SIGMA = torch.tensor([[0.1, 0.8], [0.5, 0.3]], dtype=DOUBLE)
C = torch.tensor([[0.5, 0.3], [0.3, 0.4]], dtype=DOUBLE)
NOISES = {"entries": (SIGMA, SIGMA), "correlated": (Matrix(C), None)}


def covariances(kind):
    """C of each of two observations."""
    return torch.diag_embed(SIGMA**2) if kind == "entries" else C.expand(2, 2, 2)


def observed(kind, prior):
    noise = Noise([0, 1], dtype=DOUBLE)
    likelihood = GaussianLikelihood(Matrix(A), NOISES[kind][0])
    x_0 = prior.sample(noise)
    y = likelihood.sample(x_0, noise.stream(1))
    return x_0, y, Observation(y, likelihood), likelihood


def posterior(mean, prior_covariance, y, c):
    """N(mean, covariance) of x_0 given y = A x_0 + n, n ~ N(0, C), by the textbook."""
    gain = prior_covariance @ A.T @ torch.linalg.inv(A @ prior_covariance @ A.T + c)
    return mean + gain @ (y - A @ mean), prior_covariance - gain @ A @ prior_covariance


@pytest.mark.parametrize("kind", NOISES)
class TestOneGaussian:
    def test_the_density_is_that_of_the_noise(self, kind):
        x_0, y, _, likelihood = observed(kind, gaussian())
        expected = MultivariateNormal(x_0 @ A.T, covariances(kind)).log_prob(y)
        torch.testing.assert_close(likelihood.log_prob(x_0, y), expected)

    def test_the_density_of_an_observation_is_that_of_y(self, kind):
        """Evidence is estimated from it."""
        x_0, y, observation, _ = observed(kind, gaussian())
        expected = MultivariateNormal(x_0 @ A.T, covariances(kind)).log_prob(y)
        for index in ([0, 1], [1], [1, 1, 0]):
            some = observation.take(index)
            found = some.likelihood.log_prob(x_0[index], some.y)
            torch.testing.assert_close(found, expected[index], rtol=1e-6, atol=1e-6)

    def test_draws_have_the_covariance(self, kind):
        likelihood = GaussianLikelihood(
            Matrix(A), SIGMA[:1] if kind == "entries" else NOISES[kind][0]
        )
        draws = likelihood.sample(
            torch.zeros(4000, 3, dtype=DOUBLE), Noise(range(4000), dtype=DOUBLE)
        )
        found = draws.T @ draws / 4000
        assert (found - covariances(kind)[0]).abs().max() < 0.05

    def test_the_exact_h_has_the_posterior(self, kind):
        """At every t: E[x_0 | x_t, y] of two Gaussian measurements, x_t and y."""
        prior = gaussian()
        _, y, observation, _ = observed(kind, prior)
        mean, covariance = (m[0] for m in prior.moments())
        x_t, t = torch.randn(2, 3, dtype=DOUBLE), torch.tensor([0.4], dtype=DOUBLE)
        alpha, sigma = prior.schedule.alpha(t), prior.schedule.sigma(t)
        found = Posterior(prior, Exact(prior), observation).denoise(x_t, t)
        for i in range(2):
            given_y = posterior(mean, covariance, y[i], covariances(kind)[i])
            inverse = torch.linalg.inv(
                alpha**2 * given_y[1] + sigma**2 * torch.eye(3, dtype=DOUBLE)
            )
            expected = given_y[0] + alpha * given_y[1] @ inverse @ (x_t[i] - alpha * given_y[0])
            torch.testing.assert_close(found[i], expected, atol=1e-6, rtol=1e-6)

    @pytest.mark.parametrize("make", [lambda prior: MMPS(3), Exact])
    def test_methods_that_are_exact_for_a_gaussian_stay_so(self, kind, make):
        """MMPS with as many iterations as entries."""
        prior = gaussian()
        observation = observed(kind, prior)[2]
        found = DDIM(5)(Posterior(prior, make(prior), observation), num_samples=2)
        assert found.isfinite().all()
        x_t = torch.zeros(2, 3, dtype=DOUBLE)
        t = torch.tensor([0.3], dtype=DOUBLE)
        exact = Posterior(prior, Exact(prior), observation).denoise(x_t, t)
        torch.testing.assert_close(
            Posterior(prior, make(prior), observation).denoise(x_t, t), exact, atol=1e-5, rtol=1e-5
        )

    def test_misfit_and_guidance_are_those_of_the_observation(self, kind):
        x_0, y, observation, likelihood = observed(kind, gaussian())
        r_t = torch.tensor([0.5], dtype=DOUBLE)
        inner = observation.likelihood
        torch.testing.assert_close(
            likelihood.guidance(x_0, r_t, y), inner.guidance(x_0, r_t, observation.y)
        )
        torch.testing.assert_close(likelihood.misfit(x_0, y), inner.misfit(x_0, observation.y))
        residual = (y - x_0 @ A.T)[:, None]
        norm = (residual @ torch.linalg.inv(covariances(kind)) @ residual.mT).flatten()
        torch.testing.assert_close(likelihood.misfit(x_0, y), (norm / 2).sqrt())
        torch.testing.assert_close(observation.measured, y)
        torch.testing.assert_close(observation.take([1]).measured, y[1:])
        torch.testing.assert_close(
            likelihood.take([1]).misfit(x_0[1:], y[1:]), likelihood.misfit(x_0, y)[1:]
        )


def white(shape):
    mean = torch.full((1, *shape), 0.1, dtype=DOUBLE)
    return GaussianMixture(mean, torch.tensor([0.25], dtype=DOUBLE), None, VPCosine())


def seen_in_part(sigma_y):
    """A picture of which half is measured; nothing is said of the noise of the rest."""
    mask = torch.zeros(1, 1, 4, 4, dtype=DOUBLE)
    mask[..., :2] = 1
    sigma = torch.where(mask.expand(1, 2, 4, 4) > 0, sigma_y, torch.nan)
    return Inpainting(mask), sigma


class TestAWhiteGaussian:
    """x_0 ~ N(0.1, 0.25 I) and independent entries: each has its own posterior."""

    sigma = 0.05 + torch.rand(1, 2, 4, 4, generator=torch.Generator().manual_seed(3)).double()

    def observation(self):
        operator, sigma = seen_in_part(self.sigma)
        likelihood = GaussianLikelihood(operator, sigma)
        x_0 = white((2, 4, 4)).sample(Noise([7], dtype=DOUBLE))
        y = likelihood.sample(x_0, Noise([8], dtype=DOUBLE))
        return torch.where(operator.mask > 0, y, torch.nan), Observation(
            torch.where(operator.mask > 0, y, torch.nan), likelihood
        )

    def expected(self, y):
        """Mean and variance of each entry, of x_0 given y."""
        seen = y.isfinite()
        precision = 1 / 0.25 + torch.where(seen, self.sigma**-2, 0.0)
        pulled = torch.where(seen, (y - 0.1) * self.sigma**-2, 0.0)
        return 0.1 + pulled / precision, 1 / precision

    @pytest.mark.parametrize("method", ["PiGDM", "any"])
    def test_methods_that_are_exact_for_it_stay_so(self, method):
        """PiGDM with the scale of the prior, and the learned h for any operator, untrained."""
        prior = white((2, 4, 4))
        y, observation = self.observation()
        mean, variance = self.expected(y)
        h = (
            PiGDM(prior.scale)
            if method == "PiGDM"
            else LearnedHTransform(
                prior.event_shape,
                prior.scale,
                point="pivot",
                operators="any",
                channels=(4, 6),
                attention=(False, False),
            ).double()
        )
        x_t, t = torch.randn(1, 2, 4, 4, dtype=DOUBLE), torch.tensor([0.4], dtype=DOUBLE)
        alpha, sigma = prior.schedule.alpha(t), prior.schedule.sigma(t)
        exact = mean + alpha * variance / (alpha**2 * variance + sigma**2) * (x_t - alpha * mean)
        found = Posterior(prior, h, observation).denoise(x_t, t)
        torch.testing.assert_close(found, exact, atol=1e-4, rtol=1e-4)

    @pytest.mark.parametrize("sampler", [DDRM(20), DDNMPlus(20)])
    def test_what_needs_a_decomposition_has_one(self, sampler):
        """Entries with little noise are met more closely than those with much."""
        prior = white((2, 4, 4))
        y, observation = self.observation()
        found = sampler(prior, observation, num_samples=16)[0]
        seen = y[0].isfinite()
        away = (found - y[0]).square().mean(0)[seen].sqrt()
        assert (away < 5 * self.sigma[0][seen]).all()


def test_coils_with_noise_of_their_own():
    """y' = W y has noise of one size in every coil, and the same solution as weighted least
    squares.
    """
    generator = torch.Generator().manual_seed(0)
    s = torch.randn(1, 2, 3, 4, 4, generator=generator, dtype=DOUBLE)
    operator = MultiCoilMRI(torch.ones(1, 1, 4, 4, dtype=DOUBLE), s)
    sigma = torch.tensor([0.1, 1.0, 3.0], dtype=DOUBLE).reshape(1, 1, 3, 1, 1)
    y = torch.randn(1, 2, 3, 4, 4, generator=generator, dtype=DOUBLE)
    observation = Observation(y, GaussianLikelihood(operator, sigma.expand(y.shape)))
    eye = torch.eye(32, dtype=DOUBLE).reshape(32, 2, 4, 4)
    a = operator(eye).reshape(32, -1).T
    w = (1 / sigma).expand(y.shape).reshape(-1, 1)
    expected = torch.linalg.lstsq(w * a, w[:, 0] * y.flatten()).solution
    found = observation.operator.pseudo_inverse(observation.y)
    torch.testing.assert_close(found.flatten(), expected, atol=1e-4, rtol=1e-4)


def test_errors():
    operator, _ = seen_in_part(torch.ones(1, 2, 4, 4, dtype=DOUBLE))
    y = torch.zeros(1, 2, 4, 4, dtype=DOUBLE)
    likelihood = GaussianLikelihood(operator, Matrix(torch.eye(32, dtype=DOUBLE), (2, 4, 4)))
    refused(
        lambda: Observation(y, likelihood),
        "a covariance beside Inpainting, which leaves entries out",
        "an operator all of whose entries are measured",
    )
    two = GaussianLikelihood(Matrix(A), SIGMA)
    refused(
        lambda: Observation(torch.zeros(3, 2, dtype=DOUBLE), two),
        "standard deviations of 2 measurements",
        "those of 3, or of one for all",
    )
