import pytest
import torch

from deft.errors import InvalidInput
from deft.htransforms.exact import Exact
from deft.likelihoods import GaussianLikelihood, Observation
from deft.noise import Noise
from deft.operators.matrix import Matrix
from deft.posterior import Posterior
from deft.priors.gaussian_mixture import GaussianMixture
from deft.samplers.ddim import DDIM
from deft.samplers.dpm_solver import DPMSolver
from deft.samplers.grids import UniformLogSNR
from deft.samplers.informed import Informed
from deft.schedules import VPCosine
from deft.storage import cards
from tests.closed_form import DOUBLE, measured, mixture

GRID = UniformLogSNR(high=9, low=-2)


def white() -> GaussianMixture:
    covariance = 0.49 * torch.eye(3, dtype=DOUBLE)
    return GaussianMixture(
        torch.zeros(1, 3, dtype=DOUBLE), covariance[None], None, VPCosine(-12, 12)
    )


def posterior_of(prior, sigma_y=0.3):
    a = torch.tensor([[[1.0, 0.5, 0.0], [0.0, -0.4, 1.2]]], dtype=DOUBLE)
    observation = Observation(
        torch.tensor([[0.4, -0.8]], dtype=DOUBLE), GaussianLikelihood(Matrix(a), sigma_y)
    )
    return Posterior(prior, Exact(prior), observation)


@pytest.mark.parametrize("sigma_y", [0.0, 0.3])
@pytest.mark.parametrize("log_snr", [-4.0, 0.0])
def test_the_start_of_a_white_gaussian_has_the_marginal_of_its_posterior(sigma_y, log_snr):
    prior, n = white(), 20_000
    posterior = posterior_of(prior, sigma_y)
    sampler = Informed(DPMSolver(8, UniformLogSNR(low=log_snr)), log_snr)
    x = sampler.start(posterior.take([0] * n), Noise(range(n), dtype=DOUBLE))
    t = sampler.times_of(prior)[:1]
    assert float(prior.schedule.log_snr(t)) == pytest.approx(log_snr, abs=1e-6)
    (mean,), (covariance,) = posterior.h_transform.posterior(posterior.observation).moments()
    alpha, sigma = prior.schedule.alpha(t), prior.schedule.sigma(t)
    expected = alpha**2 * covariance + sigma**2 * torch.eye(3, dtype=DOUBLE)
    spread = float(expected.diagonal().max().sqrt())
    assert float((x.mean(0) - alpha * mean).abs().max()) < 5 * spread / n**0.5
    assert float((x.T.cov() - expected).abs().max()) < 5 * 2**0.5 * spread**2 / n**0.5


def test_without_draws_it_starts_at_the_mean():
    prior = white()
    posterior = posterior_of(prior)
    sampler = Informed(DPMSolver(4, GRID), -2.0, draws=False)
    noise = Noise([7], dtype=DOUBLE)
    (mean,), _ = posterior.h_transform.posterior(posterior.observation).moments()
    t = sampler.times_of(prior)[:1]
    expected = prior.schedule.alpha(t) * mean + prior.schedule.sigma(t) * prior.noise(noise, 0)
    torch.testing.assert_close(sampler.start(posterior, noise), expected)


def test_a_mixture_is_told_wrong_shares_the_more_the_later_it_starts():
    """y says nothing about which mode it is, and the Gaussian between both knows of none: the
    flow keeps the divergence of its start from the marginal.
    """
    means = torch.tensor([[0.0, -1.0], [0.0, 1.0]], dtype=DOUBLE)
    covariance = 0.01 * torch.eye(2, dtype=DOUBLE).expand(2, 2, 2)
    prior = GaussianMixture(means, covariance, torch.tensor([0.15, 0.85]), VPCosine())
    blind = Matrix(torch.tensor([[[1.0, 0.0]]], dtype=DOUBLE))
    observation = Observation(torch.zeros(1, 1, dtype=DOUBLE), GaussianLikelihood(blind, 0.1))
    posterior = Posterior(prior, Exact(prior), observation)

    def share(sampler):
        return float((sampler(posterior, 2000, seed=3)[0, :, 1] < 0).double().mean())

    early, late = (share(Informed(DPMSolver(40, UniformLogSNR(low=at)), at)) for at in (-7.0, 1.0))
    assert abs(early - 0.15) < 0.04  # 5 standard errors
    assert late > 0.3
    fresh = Informed(DDIM(80, eta=1.0, grid=UniformLogSNR(low=-2.0)), -2.0)
    assert abs(share(fresh) - 0.15) < abs(share(Informed(DPMSolver(40, GRID), -2.0)) - 0.15)


def test_a_sample_depends_on_its_seed_alone_and_the_cost_is_the_samplers():
    prior = mixture()
    posterior = Posterior(prior, Exact(prior), measured(prior, n=2))
    sampler = Informed(DPMSolver(6, GRID), -2.0)
    x_0 = sampler(posterior, 3, seed=[5, 9])
    close = {"rtol": 0, "atol": 1e-10}
    torch.testing.assert_close(sampler(posterior.take([1]), 3, seed=[9])[0], x_0[1], **close)
    torch.testing.assert_close(sampler(posterior, 3, seed=[5, 9], batch_size=1), x_0, **close)
    assert sampler.evaluations == 6


def test_what_it_does_not_apply_to_is_refused():
    prior = mixture()
    posterior = Posterior(prior, Exact(prior), measured(prior))
    with pytest.raises(InvalidInput, match="expected a Posterior"):
        Informed(DPMSolver(4, GRID), -2.0)(prior, 1)
    with pytest.raises(InvalidInput) as raised:
        Informed(DPMSolver(4), 5.0)(posterior, 1)
    assert raised.value.what == "log_snr"
    with pytest.raises(InvalidInput, match="log_snr"):
        Informed(DPMSolver(4), float("nan"))


def test_it_is_built_from_a_card():
    inner = {"class": "DPMSolver", "args": {"steps": 8}}
    card = {"class": "Informed", "args": {"sampler": inner, "log_snr": -3.0}}
    made = cards.build(card, "sampler", where="sampler")
    assert (made.steps, made.log_snr) == (8, -3.0)
