import pytest
import torch

from deft.errors import InvalidInput
from deft.noise import Noise
from deft.samplers.ddim import DDIM
from deft.schedules import VPTabulated
from deft.steps import State
from tests.closed_form import mixture
from tests.contracts.sampler import SamplerContract


class TestDeterministic(SamplerContract):
    order, steps = 1, 80

    def sampler(self, steps, grid=None):
        return DDIM(steps, grid=grid)


class TestAncestral(SamplerContract):
    order, steps = 1, 80

    def sampler(self, steps, grid=None):
        return DDIM(steps, eta=1.0, grid=grid)


def test_a_step_of_eta_one_is_ddpms():
    """Ho et al. 2020, eq. 6-7: mean and variance of q(x_{k-1} | x_k, x_0)."""
    schedule = VPTabulated.linear(20, 1e-3, 0.3)
    prior = mixture(schedule)
    k = 12
    betas = schedule.betas
    bar = (1 - betas).cumprod(0)
    t, s = (
        torch.tensor([k / 19], dtype=torch.float64),
        torch.tensor([(k - 1) / 19], dtype=torch.float64),
    )
    x_t, noise = torch.randn(2, 3, dtype=torch.float64), Noise([1, 2], dtype=torch.float64)
    step = DDIM(20, eta=1.0).step(prior, State(x_t, t), s, noise)
    mean = bar[k - 1].sqrt() * betas[k] / (1 - bar[k]) * prior.denoise(x_t, t)
    mean = mean + (1 - betas[k]).sqrt() * (1 - bar[k - 1]) / (1 - bar[k]) * x_t
    std = ((1 - bar[k - 1]) / (1 - bar[k]) * betas[k]).sqrt()
    torch.testing.assert_close(step.x_t, mean + std * noise.normal(1, (3,)))


def test_eta_outside_its_range():
    with pytest.raises(InvalidInput, match="eta: got"):
        DDIM(10, eta=1.5)
