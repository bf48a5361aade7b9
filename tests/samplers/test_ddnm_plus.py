import pytest
import torch

from deft.errors import InvalidInput
from deft.htransforms.ddnm import DDNM
from deft.htransforms.exact import Exact
from deft.likelihoods import GaussianLikelihood, Observation
from deft.noise import Noise
from deft.operators.inpainting import Inpainting
from deft.operators.units import InUnits
from deft.samplers.ddnm_plus import DDNMPlus
from deft.schedules import VPCosine
from deft.steps import State
from tests.closed_form import DOUBLE, gaussian, measured, mixture
from tests.contracts.htransform import images


@pytest.mark.parametrize("eta", [0.0, 0.6, 1.0])
def test_the_noise_in_a_step_is_what_the_prior_is_told(eta):
    """With x_0_hat = x_0 right and y = A x_0 + sigma_y eps, x_s = alpha_s x_0 + sigma_s noise in
    every component: seen well, seen badly, and not seen.
    """
    n = 40_000
    prior = gaussian(VPCosine())
    s = torch.tensor([0.4], dtype=DOUBLE)
    alpha, sigma = prior.schedule.alpha(s), prior.schedule.sigma(s)
    x_0 = torch.tensor([0.5, -1.0, 2.0], dtype=DOUBLE).expand(n, 3)
    prior.denoise = lambda x_t, t: x_0
    singular = torch.tensor(
        [1.0, 0.1], dtype=DOUBLE
    )  # sigma_y / s of 0.2 and 2, sigma_s / alpha_s = 0.73
    a = torch.diag_embed(singular)[None].new_zeros(1, 2, 3)
    a[0, 0, 0], a[0, 1, 1] = singular
    likelihood = GaussianLikelihood(type(measured(prior).operator)(a), 0.2)
    observation = Observation(
        likelihood.sample(x_0, Noise(range(n), dtype=DOUBLE).stream(9)), likelihood
    )
    t = torch.tensor([0.5], dtype=DOUBLE)
    x_t = prior.schedule.alpha(t) * x_0 + prior.schedule.sigma(t) * torch.randn(n, 3, dtype=DOUBLE)
    noise = Noise(range(n), dtype=DOUBLE)
    x_s = DDNMPlus(2, eta).step(prior, observation, State(x_t, t), s, noise).x_t
    error = (x_s - alpha * x_0) / sigma
    torch.testing.assert_close(
        error.mean(0), torch.zeros(3, dtype=DOUBLE), rtol=0, atol=0.025
    )  # five standard errors
    torch.testing.assert_close(torch.cov(error.T), torch.eye(3, dtype=DOUBLE), rtol=0, atol=0.035)


def test_without_noise_it_is_ddnm_in_the_range_and_the_prior_elsewhere():
    prior = mixture()
    observation = measured(prior, n=2, sigma_y=0.0)
    t, s = torch.tensor([0.5], dtype=DOUBLE), torch.tensor([0.4], dtype=DOUBLE)
    x_t, noise = torch.randn(2, 3, dtype=DOUBLE), Noise([1, 2], dtype=DOUBLE)
    x_s = DDNMPlus(2, eta=1.0).step(prior, observation, State(x_t, t), s, noise).x_t
    alpha, sigma = prior.schedule.alpha(s), prior.schedule.sigma(s)
    consistent = DDNM().consistent(prior.at(x_t, t), observation)
    torch.testing.assert_close(x_s, alpha * consistent + sigma * noise.normal(1, (3,)))


def test_samples_of_a_mixture_of_images():
    """Not exact, but close: the misfit of single samples is near 1, the error of the mean of
    four near that of the exact posterior mean.
    """
    prior, n = images(), 60
    noise = Noise(range(n), dtype=DOUBLE)
    x_0 = prior.sample(noise)
    likelihood = GaussianLikelihood(Inpainting((noise.uniform(7, (1, 4, 4)) < 0.5).double()), 0.05)
    observation = Observation(likelihood.sample(x_0, noise.stream(1)), likelihood)
    samples = DDNMPlus(100)(prior, observation, 4, seed=1)
    misfit = (
        observation.repeat(4)
        .likelihood.misfit(samples.flatten(0, 1), observation.repeat(4).y)
        .square()
        .mean()
        .sqrt()
    )
    assert 0.8 < float(misfit) < 1.3
    best = Exact(prior).posterior(observation).moments()[0]
    floor = (best - x_0).square().mean()
    assert float((samples.mean(1) - x_0).square().mean()) < 1.5 * float(
        floor
    )  # four samples: the posterior variance / 4 comes on top


def test_a_sample_depends_on_its_seed_alone():
    prior = mixture()
    observation = measured(prior, n=2, sigma_y=torch.tensor([0.05, 0.5]))
    posterior = (prior, observation)
    x_0 = DDNMPlus(6)(*posterior, 2, seed=[5, 9])
    torch.testing.assert_close(
        DDNMPlus(6)(prior, observation.take([1]), 2, seed=[9])[0], x_0[1], rtol=0, atol=1e-10
    )
    torch.testing.assert_close(
        DDNMPlus(6)(*posterior, 2, seed=[5, 9], batch_size=3), x_0, rtol=0, atol=1e-10
    )


def test_what_it_asks_for():
    prior = mixture()
    observation = measured(prior)
    wrapped = Observation(
        observation.y, GaussianLikelihood(InUnits(observation.operator, 0.5), 0.1)
    )
    with pytest.raises(InvalidInput, match="InUnits has none"):
        DDNMPlus(3)(prior, wrapped, 1)
    with pytest.raises(InvalidInput, match="eta"):
        DDNMPlus(3, eta=2.0)
