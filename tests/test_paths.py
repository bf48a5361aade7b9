import math

import pytest
import torch

from deft.errors import InvalidInput, WeightsNotFinite
from deft.htransforms.base import HTransform, NoConditioning
from deft.htransforms.composed import Scaled
from deft.htransforms.dps import DPS
from deft.htransforms.exact import Exact
from deft.paths import path_log_weight, simulate, weigh
from deft.posterior import Posterior
from deft.samplers.ddim import DDIM
from deft.samplers.grids import UniformLogSNR
from deft.samplers.heun import Heun
from deft.transitions import Transition
from tests.closed_form import DOUBLE, gaussian, measured, mixture


def ddim(steps, eta=1.0):
    return DDIM(steps, eta=eta, grid=UniformLogSNR())


@pytest.mark.parametrize("make", [gaussian, mixture])
def test_weights_of_the_exact_h_are_constant_as_the_steps_grow(make):
    """And the constant is p(y): the spread of log w falls as 1 / sqrt(steps), as that of a
    martingale of so many steps.
    """
    prior = make()
    observation = measured(prior)
    posterior = Posterior(prior, Exact(prior), observation)
    spread = []
    for steps in (20, 80, 240):
        weighted = weigh(simulate(posterior, ddim(steps), 100, seed=1), posterior)
        spread.append(weighted.log_weights.std().item())
        error = (weighted.log_evidence - Exact(prior).evidence(observation)).item()
        # four standard errors, and the evidence of the discretised prior, which is off at first
        # order
        assert abs(error) < 4 * weighted.standard_error.item() + 10 / steps
    assert spread[0] > 1.5 * spread[1] > 2.2 * spread[2]
    assert spread[2] < 0.5
    assert weighted.effective_sample_size.item() > 80


@pytest.mark.parametrize("eta", [0.5, 1.0])
def test_weights_mend_a_poor_h(eta):
    """The mean under the weights is the posterior's, within four standard errors, where that of
    the samples is not.
    """
    prior = gaussian()
    observation = measured(prior, sigma_y=0.5)
    posterior = Posterior(prior, Scaled(Exact(prior), 0.3), observation)
    weighted = weigh(simulate(posterior, ddim(40, eta), 1000, seed=1), posterior)
    mean, covariance = Exact(prior).posterior(observation).moments()
    spread = covariance[0].diagonal().sqrt()
    off = (weighted.x_0[0].mean(0) - mean[0]) / spread
    mended = (weighted.mean()[0] - mean[0]) / spread
    assert float(off.abs().max()) > 1
    assert float(mended.abs().max()) < 4 / weighted.effective_sample_size.sqrt().item()


def test_a_path_is_that_of_the_sampler():
    prior = mixture()
    posterior = Posterior(prior, Exact(prior), measured(prior, n=2))
    path, seen = simulate(posterior, ddim(6), 2, seed=[5, 9]), []
    ddim(6)(posterior, 2, seed=[5, 9], on_step=lambda state: seen.append(state.x_t))
    close = {"rtol": 0, "atol": 1e-10}
    for x_t, expected in zip(path.x_t[1:], seen, strict=True):
        torch.testing.assert_close(x_t, expected, **close)
    torch.testing.assert_close(path.x_0, prior.denoise(path.x_t[-1], path.times[-1:]), **close)
    alone = simulate(posterior.take([1]), ddim(6), 2, seed=[9], batch_size=1)
    torch.testing.assert_close(alone.x_t, path.x_t[:, 2:], **close)
    log_w = path_log_weight(path, posterior)
    torch.testing.assert_close(
        path_log_weight(alone, posterior.take([1]), batch_size=1)[0], log_w[1], **close
    )


def test_by_hand():
    """The densities themselves, along one path."""
    prior = mixture()
    observation = measured(prior)
    posterior = Posterior(prior, Exact(prior), observation)
    path = simulate(posterior, ddim(4, 0.7), 3, seed=2)
    posterior_3 = posterior.take([0, 0, 0])
    expected = observation.repeat(3).likelihood.log_prob(path.x_0, observation.repeat(3).y)
    for k in range(3):
        t, s = path.times[k : k + 1], path.times[k + 1 : k + 2]
        step = Transition.between(prior.schedule, t, s, 0.7)
        p, q = (
            torch.distributions.Normal(step.mean(by.denoise(path.x_t[k], t), path.x_t[k]), step.c)
            .log_prob(path.x_t[k + 1])
            .sum(1)
            for by in (prior, posterior_3)
        )
        expected = expected + p - q
    torch.testing.assert_close(path_log_weight(path, posterior)[0], expected)


def test_without_an_h_the_weight_is_the_likelihood():
    prior = mixture()
    observation = measured(prior, n=2)
    posterior = Posterior(prior, NoConditioning(), observation)
    path = simulate(posterior, ddim(5), 4)
    torch.testing.assert_close(
        path_log_weight(path, posterior).flatten(),
        observation.repeat(4).likelihood.log_prob(path.x_0, observation.repeat(4).y),
    )


class Leaning(HTransform):
    """shift = strength * x_t, with a learned strength."""

    def __init__(self):
        super().__init__()
        self.strength = torch.nn.Parameter(torch.tensor(0.1, dtype=DOUBLE))

    def shift(self, denoised, observation):
        return self.strength * denoised.x_t


def test_the_graph_of_h_follows_the_caller_and_the_prior_is_not_asked_again():
    prior = mixture()
    posterior = Posterior(prior, Leaning(), measured(prior))
    path = simulate(posterior, ddim(5), 4)
    assert not path.x_t.requires_grad

    calls = []
    denoise = prior.denoise
    prior.denoise = lambda x_t, t: calls.append(t) or denoise(x_t, t)
    strength = posterior.h_transform.strength
    (gradient,) = torch.autograd.grad(path_log_weight(path, posterior).sum(), strength)
    assert not calls
    values = []
    for change in (1e-5, -1e-5):
        with torch.no_grad():
            strength.add_(change)
            values.append(path_log_weight(path, posterior).sum().item())
            strength.sub_(change)
    assert gradient.item() == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-6)


def test_an_h_that_differentiates_the_prior():
    prior = mixture()
    posterior = Posterior(prior, DPS(0.5), measured(prior))
    path = simulate(posterior, ddim(5), 3)
    assert bool(path_log_weight(path, posterior).isfinite().all())
    assert weigh(path, posterior).x_0.shape == (1, 3, 3)


def test_what_is_refused():
    prior = mixture()
    observation = measured(prior, n=2)
    posterior = Posterior(prior, NoConditioning(), observation)
    with pytest.raises(InvalidInput, match="Heun has others; use DDIM with eta > 0"):
        simulate(posterior, Heun(4), 2)
    with pytest.raises(InvalidInput, match="got eta = 0"):
        simulate(posterior, DDIM(4), 2)
    with pytest.raises(InvalidInput, match="needs a Posterior"):
        simulate(prior, ddim(4), 2)
    with pytest.raises(InvalidInput, match="sigma_y = 0"):
        simulate(Posterior(prior, NoConditioning(), measured(prior, sigma_y=0.0)), ddim(4), 2)
    path = simulate(posterior, ddim(4), 2)
    with pytest.raises(
        InvalidInput,
        match="4 paths, 2 for each observation, do not belong to a posterior of 1 observations",
    ):
        path_log_weight(path, posterior.take([0]))


class Diverging(HTransform):
    def shift(self, denoised, observation):
        return torch.where(denoised.log_snr > 0, math.nan, 0.0) + 0 * denoised.x_t


def test_weights_that_are_not_finite_stop_with_the_step():
    prior = mixture()
    posterior = Posterior(prior, Diverging(), measured(prior))
    path = simulate(Posterior(prior, NoConditioning(), posterior.observation), ddim(8), 2)
    first = int((prior.schedule.log_snr(path.times) > 0).nonzero()[0]) + 1
    with pytest.raises(
        WeightsNotFinite,
        match=f"2 of 2 log weights of observation 0 are not finite at step {first} of 8",
    ):
        path_log_weight(path, posterior)


def test_nothing_to_weigh():
    prior = mixture()
    posterior = Posterior(prior, Exact(prior), measured(prior, n=2))
    with pytest.raises(InvalidInput) as raised:
        simulate(posterior, ddim(3), 0)
    assert raised.value.what == "num_samples"
