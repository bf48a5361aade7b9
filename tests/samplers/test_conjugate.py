import pytest
import torch

from deft.errors import InvalidInput
from deft.htransforms.base import NoConditioning
from deft.htransforms.exact import Exact
from deft.likelihoods import GaussianLikelihood, Observation
from deft.noise import Noise
from deft.operators.matrix import Matrix
from deft.operators.units import InUnits
from deft.posterior import Posterior
from deft.priors.gaussian_mixture import GaussianMixture
from deft.samplers.conjugate import ConjugateIntegrator, _legendre
from deft.samplers.dpm_solver import DPMSolver
from deft.samplers.grids import UniformLogSNR
from deft.schedules import VPCosine
from deft.steps import State
from tests.closed_form import DOUBLE, measured, mixture
from tests.contracts.sampler import SamplerContract


class OnAPosterior(SamplerContract):
    def target(self, prior):
        """One that y says nothing about: the prior again."""
        return Posterior(prior, NoConditioning(), measured(prior))


class TestConjugateIntegrator(OnAPosterior):
    order, steps = 2, 40

    def sampler(self, steps, grid=None):
        return ConjugateIntegrator(steps, grid)


class TestThirdOrder(OnAPosterior):
    order, steps = 3, 20

    def sampler(self, steps, grid=None):
        return ConjugateIntegrator(steps, grid, order=3)


class TestFirstOrder(OnAPosterior):
    order, steps = 1, 80

    def sampler(self, steps, grid=None):
        return ConjugateIntegrator(steps, grid, order=1)


def white(scale: float = 0.7) -> GaussianMixture:
    """N(0, scale^2 I) in three dimensions."""
    zero, covariance = torch.zeros(1, 3, dtype=DOUBLE), scale**2 * torch.eye(3, dtype=DOUBLE)
    return GaussianMixture(zero, covariance[None], None, VPCosine())


@pytest.mark.parametrize("sigma_y", [0.0, 0.05, 2.0])
def test_one_step_is_exact_for_a_white_gaussian(sigma_y):
    """In the basis of A x_t = alpha mu + sqrt(alpha^2 tau^2 + sigma^2) z, z the same at all t."""
    prior = white()
    a = torch.diag(torch.tensor([2.0, 0.5, 1e-3], dtype=DOUBLE))[None]
    y = torch.tensor([[1.0, -0.3, 0.001]], dtype=DOUBLE)
    observation = Observation(y, GaussianLikelihood(Matrix(a), sigma_y))
    posterior = Posterior(prior, Exact(prior), observation)
    t, s = (torch.tensor([v], dtype=DOUBLE) for v in (1.0, 0.05))
    z = torch.tensor([[0.3, -1.0, 2.0]], dtype=DOUBLE)
    (mu,), (covariance,) = Exact(prior).posterior(observation).moments()

    def at(u):
        alpha, sigma = prior.schedule.alpha(u), prior.schedule.sigma(u)
        return alpha * mu + (alpha**2 * covariance.diagonal() + sigma**2).sqrt() * z

    one = ConjugateIntegrator(2).step(posterior, State(at(t), t), s, Noise([0], dtype=DOUBLE))
    torch.testing.assert_close(one.x_t, at(s), rtol=1e-6, atol=1e-6)
    other = DPMSolver(2).step(posterior, State(at(t), t), s, Noise([0], dtype=DOUBLE))
    apart = float((other.x_t - at(s)).abs().max())
    assert apart > 0.05 or sigma_y == 0  # where y says all, both are exact


def test_what_y_does_not_see_moves_as_by_dpm_solver():
    prior = mixture()
    blind = Matrix(torch.tensor([[[0.0, 0.0, 1.0]]], dtype=DOUBLE))
    observation = Observation(torch.ones(1, 1, dtype=DOUBLE), GaussianLikelihood(blind, 0.1))
    posterior = Posterior(prior, NoConditioning(), observation)
    seen = [
        sampler(posterior, 3, seed=4)
        for sampler in (ConjugateIntegrator(2, order=1), DPMSolver(2, order=1))
    ]
    states: list[list[torch.Tensor]] = [[], []]
    for kept, sampler in zip(states, (ConjugateIntegrator(2), DPMSolver(2))):
        sampler(posterior, 3, seed=4, on_step=lambda state, kept=kept: kept.append(state.x_t))
    torch.testing.assert_close(states[0][0][:, :2], states[1][0][:, :2])
    assert not torch.allclose(states[0][0][:, 2], states[1][0][:, 2])
    assert not torch.allclose(*seen)


def test_its_quadrature_integrates_polynomials():
    for power in (0, 1, 7, 31, 63):
        total = sum(w * u**power for u, w in _legendre(32))
        assert total == pytest.approx(1 / (power + 1), rel=1e-12)


def test_what_it_does_not_apply_to_is_refused():
    prior = mixture()
    observation = measured(prior)
    sampler = ConjugateIntegrator(3, UniformLogSNR())
    with pytest.raises(InvalidInput, match="expected a Posterior"):
        sampler(prior, 1)
    units = Observation(observation.y, GaussianLikelihood(InUnits(observation.operator, 2.0), 0.1))
    with pytest.raises(
        InvalidInput, match="got InUnits; expected a Posterior of a SpectralOperator"
    ):
        sampler.check(prior, units, Exact(prior))
    with pytest.raises(InvalidInput) as raised:
        ConjugateIntegrator(3, order=5)
    assert raised.value.what == "order"
