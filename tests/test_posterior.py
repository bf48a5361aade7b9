import pytest
import torch

from deft.errors import InvalidInput, PriorNotDifferentiable
from deft.htransforms.base import HTransform, NoConditioning
from deft.htransforms.ddnm import DDNM
from deft.htransforms.dps import DPS
from deft.htransforms.exact import Exact
from deft.htransforms.paper import PaperHTransform
from deft.posterior import Posterior
from deft.priors.callable import CallablePrior
from deft.samplers.ddim import DDIM
from deft.samplers.dpm_solver import DPMSolver
from deft.samplers.grids import UniformLogSNR
from deft.samplers.heun import Heun
from tests.closed_form import DOUBLE, measured, mixture
from tests.contracts.prior import PriorContract


class TestUnconditioned(PriorContract):
    """A posterior that learns nothing is its prior, and keeps to the contract of priors."""

    def prior(self):
        prior = mixture()
        return Posterior(prior, NoConditioning(), measured(prior, n=3))


@pytest.mark.parametrize(
    "sampler",
    [DDIM(8, grid=UniformLogSNR()), DDIM(8, eta=1.0), Heun(4), DPMSolver(8)],
    ids=lambda s: type(s).__name__,
)
@pytest.mark.parametrize(
    "method", [NoConditioning(), Exact(mixture()), DPS(0.5), DDNM()], ids=lambda h: type(h).__name__
)
def test_a_sample_depends_on_its_seed_alone(method, sampler):
    prior = mixture()
    posterior = Posterior(
        prior, method, measured(prior, n=3, sigma_y=torch.tensor([0.1, 0.3, 1.0]))
    )
    x_0 = sampler(posterior, 2, seed=[7, 8, 9])
    close = {"rtol": 0, "atol": 1e-9}
    torch.testing.assert_close(sampler(posterior, 2, seed=[7, 8, 9], batch_size=4), x_0, **close)
    torch.testing.assert_close(
        sampler(posterior.take([2, 0]), 2, seed=[9, 7]), x_0[[2, 0]], **close
    )


def test_the_exact_h_makes_the_posterior_of_a_mixture():
    prior = mixture()
    observation = measured(prior, n=4)
    exact = Exact(prior)
    x_t, t = torch.randn(4, 3, dtype=DOUBLE), torch.tensor([0.4], dtype=DOUBLE)
    torch.testing.assert_close(
        Posterior(prior, exact, observation).denoise(x_t, t),
        exact.posterior(observation).denoise(x_t, t),
    )


@pytest.mark.parametrize("method", [Exact(mixture()), DPS(0.5)], ids=lambda h: type(h).__name__)
def test_its_parts_are_the_priors_estimate_and_the_shift(method):
    prior = mixture()
    posterior = Posterior(prior, method, measured(prior, n=2))
    x_t, t = torch.randn(2, 3, dtype=DOUBLE), torch.tensor([0.4], dtype=DOUBLE)
    denoised, shift = posterior.parts(x_t, t)
    torch.testing.assert_close(denoised.x_0_hat, prior.denoise(x_t, t))
    torch.testing.assert_close(denoised.x_0_hat + shift, posterior.denoise(x_t, t))
    assert not any(part.requires_grad for part in (denoised.x_0_hat, denoised.x_t, shift))


def test_a_prior_without_gradients_is_refused_at_construction():
    reference = mixture()
    prior = CallablePrior(reference.denoise, reference.schedule, (3,), 1.0)
    with pytest.raises(PriorNotDifferentiable, match="DPS needs gradients through CallablePrior"):
        Posterior(prior, DPS(1.0), measured(reference))
    Posterior(prior, DDNM(), measured(reference))


def test_a_prior_of_other_signals_is_refused():
    prior = mixture()
    conditioned = Exact(prior).posterior(measured(prior, n=2))
    with pytest.raises(InvalidInput, match="conditioned on 2 signals and the observation holds 3"):
        Posterior(conditioned, NoConditioning(), measured(prior, n=3))


class Reads(HTransform):
    """Looks whether what it is shown hangs on a graph."""

    def __init__(self, needs):
        super().__init__()
        self.needs_prior_gradient = needs
        self.weight = torch.nn.Parameter(torch.ones((), dtype=DOUBLE))

    def shift(self, denoised, observation):
        assert denoised.x_0_hat.requires_grad == self.needs_prior_gradient
        return self.weight * denoised.x_0_hat


def test_the_prior_is_differentiated_only_where_asked_and_h_follows_the_caller():
    prior = mixture()
    x_t, t = torch.randn(1, 3, dtype=DOUBLE), torch.tensor([0.4], dtype=DOUBLE)
    assert Posterior(prior, Reads(False), measured(prior)).denoise(x_t, t).requires_grad
    with torch.no_grad():
        assert not Posterior(prior, Reads(True), measured(prior)).denoise(x_t, t).requires_grad
        assert not Posterior(prior, Reads(False), measured(prior)).denoise(x_t, t).requires_grad


def test_all_on_one_device():
    prior = mixture()
    observation = measured(prior)
    with pytest.raises(
        InvalidInput,
        match=r"the prior is on cpu and the observation on meta; use "
        r"observation\.to\(prior\.device\)",
    ):
        Posterior(prior, NoConditioning(), observation.to("meta"))
    with pytest.raises(InvalidInput, match="the h_transform on meta"):
        Posterior(prior, PaperHTransform((2, 4), 1.0).to("meta"), observation)
