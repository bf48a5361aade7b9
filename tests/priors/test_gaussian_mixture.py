import math

import pytest
import torch

from deft.errors import InvalidInput
from deft.noise import Noise
from deft.priors.gaussian_mixture import GaussianMixture
from deft.schedules import VPCosine, VPLinear
from tests.contracts.prior import PriorContract

DOUBLE = torch.float64


def mixture(schedule=None):
    """Three full covariances in four dimensions, as 2 x 2 signals."""
    g = torch.Generator().manual_seed(3)
    means = torch.randn(3, 2, 2, generator=g, dtype=DOUBLE)
    root = torch.randn(3, 4, 4, generator=g, dtype=DOUBLE)
    return GaussianMixture(
        means,
        0.25 * root @ root.mT + 0.01 * torch.eye(4, dtype=DOUBLE),
        torch.tensor([0.2, 0.5, 0.3]),
        schedule or VPLinear(),
    )


class TestFull(PriorContract):
    def prior(self):
        return mixture()


class TestIsotropic(PriorContract):
    def prior(self):
        means = torch.tensor([[-1.0, 0.0], [1.0, 0.5]], dtype=DOUBLE)
        return GaussianMixture(means, torch.tensor([0.1, 0.4], dtype=DOUBLE), None, VPCosine())


def test_score_is_the_gradient_of_log_prob():
    prior = mixture()
    x_t = torch.randn(5, 2, 2, dtype=DOUBLE)
    t = torch.linspace(0.05, 1, 5, dtype=DOUBLE)
    step = 1e-5
    score = prior.at(x_t, t).score
    for i in range(2):
        for j in range(2):
            bump = torch.zeros(2, 2, dtype=DOUBLE)
            bump[i, j] = step
            difference = (prior.log_prob(x_t + bump, t) - prior.log_prob(x_t - bump, t)) / (
                2 * step
            )
            torch.testing.assert_close(
                score[:, i, j], difference, rtol=1e-5, atol=1e-5
            )  # central differences: step^2 times third derivatives


def test_isotropic_is_full_with_multiples_of_the_identity():
    means, variances = torch.randn(2, 3, dtype=DOUBLE), torch.tensor([0.3, 2.0], dtype=DOUBLE)
    x_t, t = torch.randn(4, 3, dtype=DOUBLE), torch.full((1,), 0.3, dtype=DOUBLE)
    a = GaussianMixture(means, variances, None, VPLinear())
    b = GaussianMixture(
        means, variances[:, None, None] * torch.eye(3, dtype=DOUBLE), None, VPLinear()
    )
    torch.testing.assert_close(a.denoise(x_t, t), b.denoise(x_t, t))
    torch.testing.assert_close(a.log_prob(x_t, t), b.log_prob(x_t, t))
    assert a.scale == pytest.approx(b.scale)


def test_log_prob_is_normalised():
    prior = GaussianMixture(
        torch.tensor([[-1.0], [2.0]], dtype=DOUBLE),
        torch.tensor([0.05, 0.5], dtype=DOUBLE),
        torch.tensor([0.3, 0.7]),
        VPLinear(),
    )
    x = torch.linspace(-12, 12, 20_001, dtype=DOUBLE)[:, None]
    for t in (0.0, 0.4, 1.0):
        total = torch.trapezoid(prior.log_prob(x, torch.tensor([t], dtype=DOUBLE)).exp(), x[:, 0])
        assert float(total) == pytest.approx(1, abs=1e-6)


def test_samples_have_the_moments():
    prior, n = mixture(), 20_000
    x_0 = prior.sample(Noise(range(n), dtype=DOUBLE)).flatten(1)
    mean, covariance = prior.moments()
    error = 5 * covariance[0].diagonal().max().sqrt() / math.sqrt(n)  # five standard errors
    torch.testing.assert_close(x_0.mean(0), mean.flatten(), rtol=0, atol=float(error))
    torch.testing.assert_close(
        torch.cov(x_0.T),
        covariance[0],
        rtol=0,
        atol=float(5 * 2 * covariance[0].diagonal().max() / math.sqrt(n)),
    )
    assert prior.scale == pytest.approx(float(covariance[0].diagonal().mean().sqrt()))


def test_initial_is_a_draw_from_the_marginal_at_one():
    prior = mixture(VPLinear(0.1, 1.0))  # alpha_1 = 0.76: far from white
    n = 20_000
    x_1 = prior.initial(Noise(range(n), dtype=DOUBLE)).flatten(1)
    one = torch.ones(1, dtype=DOUBLE)
    alpha, sigma = prior.schedule.alpha(one), prior.schedule.sigma(one)
    mean, covariance = prior.moments()
    expected = alpha**2 * covariance[0] + sigma**2 * torch.eye(4, dtype=DOUBLE)
    torch.testing.assert_close(x_1.mean(0), alpha * mean.flatten(), rtol=0, atol=0.05)
    torch.testing.assert_close(
        torch.cov(x_1.T),
        expected,
        rtol=0,
        atol=float(10 * expected.diagonal().max() / math.sqrt(n)),
    )


def test_posterior_and_evidence_against_quadrature():
    prior = GaussianMixture(
        torch.tensor([[-1.0], [1.5]], dtype=DOUBLE),
        torch.tensor([0.2, 0.6], dtype=DOUBLE),
        torch.tensor([0.4, 0.6]),
        VPLinear(),
    )
    a, y, sigma_y = (
        torch.tensor([[[1.3]]], dtype=DOUBLE),
        torch.tensor([[0.7], [-2.0]], dtype=DOUBLE),
        torch.tensor([0.5], dtype=DOUBLE),
    )
    x = torch.linspace(-12, 12, 40_001, dtype=DOUBLE)
    zero = torch.zeros(1, dtype=DOUBLE)
    clean = GaussianMixture(
        prior.means[0].reshape(2, 1),
        torch.tensor([0.2, 0.6], dtype=DOUBLE),
        torch.tensor([0.4, 0.6]),
        VPLinear(t_min=1e-9),
    )
    log_prior = clean.log_prob(x[:, None], zero)
    posterior = prior.posterior(a, y, sigma_y)
    assert posterior.num_observations == 2
    for i in range(2):
        joint = (log_prior + torch.distributions.Normal(1.3 * x, 0.5).log_prob(y[i])).exp()
        evidence = torch.trapezoid(joint, x)
        mean = torch.trapezoid(x * joint, x) / evidence
        variance = torch.trapezoid((x - mean) ** 2 * joint, x) / evidence
        assert float(prior.evidence(a, y, sigma_y)[i]) == pytest.approx(
            float(evidence.log()), abs=1e-6
        )
        assert float(posterior.moments()[0][i, 0]) == pytest.approx(float(mean), abs=1e-6)
        assert float(posterior.moments()[1][i, 0, 0]) == pytest.approx(float(variance), abs=1e-6)


def test_two_measurements_are_one_after_the_other():
    prior = mixture()
    a, y = torch.randn(1, 3, 4, dtype=DOUBLE), torch.randn(2, 3, dtype=DOUBLE)
    sigma_y = torch.tensor([0.3], dtype=DOUBLE)
    x_t, t = torch.randn(2, 2, 2, dtype=DOUBLE), torch.full((1,), 0.4, dtype=DOUBLE)
    at_once = prior.posterior(a, y, sigma_y)
    in_turn = prior.posterior(a[:, :1], y[:, :1], sigma_y).posterior(a[:, 1:], y[:, 1:], sigma_y)
    torch.testing.assert_close(at_once.denoise(x_t, t), in_turn.denoise(x_t, t))
    chain = prior.evidence(a[:, :1], y[:, :1], sigma_y) + prior.posterior(
        a[:, :1], y[:, :1], sigma_y
    ).evidence(a[:, 1:], y[:, 1:], sigma_y)
    torch.testing.assert_close(prior.evidence(a, y, sigma_y), chain)


def test_without_noise_the_posterior_meets_the_measurement_and_is_the_limit():
    prior = mixture()
    a = torch.randn(1, 3, 4, dtype=DOUBLE)
    a[:, 2] = a[:, 0] + a[:, 1]  # rank 2
    y = (a @ torch.randn(2, 4, 1, dtype=DOUBLE))[..., 0]
    exact = prior.posterior(a, y, torch.zeros(1, dtype=DOUBLE))
    x_0 = exact.sample(Noise(range(2), dtype=DOUBLE))
    torch.testing.assert_close((a @ x_0.flatten(1)[..., None])[..., 0], y, rtol=0, atol=1e-6)
    nearly = prior.posterior(a, y, torch.full((1,), 1e-4, dtype=DOUBLE))
    torch.testing.assert_close(exact.moments()[0], nearly.moments()[0], rtol=0, atol=1e-5)
    with pytest.raises(InvalidInput, match="no density"):
        prior.evidence(a, y, torch.zeros(1, dtype=DOUBLE))


@pytest.mark.parametrize(
    ("covariances", "weights"),
    [
        (torch.ones(3), None),
        (torch.ones(2, 3, 3), None),
        (torch.tensor([1.0, -1.0]), None),
        (torch.ones(2), torch.tensor([1.0, 0.0])),
    ],
)
def test_wrong_arguments_are_named(covariances, weights):
    with pytest.raises(InvalidInput):
        GaussianMixture(torch.zeros(2, 2), covariances, weights, VPLinear())


@pytest.mark.parametrize("observations", [1, 4])
@pytest.mark.parametrize("isotropic", [True, False])
def test_a_covariance_in_common_changes_nothing_but_the_cost(isotropic, observations):
    """The same mixture with covariances that differ by rounding takes the general path:
    denoiser, density, posterior, evidence and moments agree.
    """
    generator = torch.Generator().manual_seed(3)
    means = torch.randn(5, 3, 2, generator=generator, dtype=torch.float64)
    root = torch.randn(6, 6, generator=generator, dtype=torch.float64)
    covariances = (
        torch.full((5,), 0.4, dtype=torch.float64)
        if isotropic
        else (root @ root.T / 6).expand(5, 6, 6)
    )
    apart = covariances * (
        1 + 1e-13 * torch.arange(5, dtype=torch.float64).reshape(-1, *[1] * (covariances.ndim - 1))
    )
    weights = torch.tensor([0.1, 0.2, 0.3, 0.15, 0.25], dtype=torch.float64)
    shared, general = (GaussianMixture(means, c, weights, VPLinear()) for c in (covariances, apart))
    assert shared.variances.shape[1] == 1
    assert general.variances.shape[1] == 5
    a = torch.randn(observations, 2, 6, generator=generator, dtype=torch.float64)
    y, sigma_y = (
        torch.randn(observations, 2, generator=generator, dtype=torch.float64),
        torch.full((observations,), 0.3, dtype=torch.float64),
    )
    x_t, t = (
        torch.randn(4, 3, 2, generator=generator, dtype=torch.float64),
        torch.tensor([0.01, 0.3, 0.7, 1.0], dtype=torch.float64),
    )
    close = {"rtol": 0, "atol": 1e-9}
    torch.testing.assert_close(
        shared.evidence(a, y, sigma_y), general.evidence(a, y, sigma_y), **close
    )
    for one, other in (
        (shared, general),
        (shared.posterior(a, y, sigma_y), general.posterior(a, y, sigma_y)),
    ):
        torch.testing.assert_close(one.denoise(x_t, t), other.denoise(x_t, t), **close)
        torch.testing.assert_close(one.log_prob(x_t, t), other.log_prob(x_t, t), **close)
        for left, right in zip(one.moments(), other.moments()):
            torch.testing.assert_close(left, right, **close)
    if (
        observations == 1
    ):  # the draws may differ, since a sum of axes is an axis: their moments do not
        draws = shared.posterior(a, y, sigma_y).sample(Noise(range(4000), dtype=torch.float64))
        mean, covariance = general.posterior(a, y, sigma_y).moments()
        spread = (draws - mean).flatten(1)
        assert (draws.mean(0) - mean[0]).abs().max() < 0.06
        assert (spread.T @ spread / len(spread) - covariance[0]).abs().max() < 0.1
