import pytest
import torch

from deft.errors import InvalidInput
from deft.htransforms.dps import DPS
from deft.noise import Noise
from deft.posterior import Posterior
from deft.samplers.ddim import DDIM
from deft.samplers.grids import UniformLogSNR, UniformTime
from deft.schedules import VPTabulated
from deft.steps import State
from deft.transitions import Steps
from tests.closed_form import DOUBLE, measured, mixture
from tests.contracts.htransform import HTransformContract


class TestDPS(HTransformContract):
    reads_noise_level = False

    def h_transform(self, prior):
        return DPS(0.3)


class TestPublished(HTransformContract):
    reads_noise_level = False

    def h_transform(self, prior):
        return DPS.published(0.7).on(Steps(prior.schedule, self.times(prior), 1.0))

    def sampled(self, prior, grid):
        return DPS.published(0.7).on(Steps(prior.schedule, grid.times(prior.schedule, 4), 1.0))


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_the_published_step(eta):
    """Algorithm 1 of the paper, written out: the unconditional step, then minus zeta times the
    gradient of the distance.
    """
    zeta, schedule = 0.8, VPTabulated.linear(30, 1e-3, 0.3)
    prior = mixture(schedule)
    observation = measured(prior, n=2)
    sampler = DDIM(10, eta=eta, grid=UniformTime())
    grid = sampler.grid.times(schedule, sampler.steps)
    posterior = Posterior(prior, DPS.published(zeta).on(Steps(schedule, grid, eta)), observation)
    noise = Noise([1, 2], dtype=DOUBLE)
    x_t = torch.randn(2, 3, dtype=DOUBLE)
    for k in range(len(grid)):
        t = grid[k : k + 1]
        x = x_t.clone().requires_grad_()
        distance = (observation.y - observation.operator(prior.denoise(x, t))).norm(dim=1)
        gradient = torch.autograd.grad(distance.sum(), x)[0]
        if k + 1 == len(grid):
            torch.testing.assert_close(
                posterior.denoise(x_t, t), prior.denoise(x_t, t) - zeta * gradient
            )
            break
        s = grid[k + 1 : k + 2]
        unconditional = sampler.step(prior, State(x_t, t, k), s, noise).x_t
        conditional = sampler.step(posterior, State(x_t, t, k), s, noise).x_t
        torch.testing.assert_close(conditional, unconditional - zeta * gradient)
        x_t = unconditional


def test_a_weight_may_depend_on_time():
    prior = mixture()
    observation = measured(prior, n=2)
    t = torch.tensor([0.3, 0.6], dtype=DOUBLE)
    x_t = torch.randn(2, 3, dtype=DOUBLE, requires_grad=True)
    by_time = DPS(lambda t: 2 * t).shift(prior.at(x_t, t), observation)
    unit = DPS(1.0).shift(prior.at(x_t, t), observation)
    torch.testing.assert_close(by_time, 2 * t[:, None] * unit)


def test_another_grid_is_an_error():
    prior = mixture()
    posterior = Posterior(
        prior,
        DPS.published(1.0).on(Steps(prior.schedule, UniformLogSNR().times(prior.schedule, 5), 1.0)),
        measured(prior),
    )
    DDIM(5, eta=1.0, grid=UniformLogSNR())(posterior, 1)
    with pytest.raises(InvalidInput, match="tabulated for a grid of 5 times"):
        DDIM(6, eta=1.0, grid=UniformLogSNR())(posterior, 1)


def test_wrong_arguments():
    with pytest.raises(InvalidInput, match=">= 0"):
        DPS(-1.0)
    with pytest.raises(InvalidInput, match="zeta: got -1"):
        DPS.published(-1.0)
