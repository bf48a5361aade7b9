import torch

from deft.noise import Noise
from deft.samplers.ddim import DDIM
from deft.samplers.dpm_solver import DPMSolver
from deft.steps import State
from tests.closed_form import mixture
from tests.contracts.sampler import SamplerContract


class TestDPMSolver(SamplerContract):
    order, steps = 2, 40

    def sampler(self, steps, grid=None):
        return DPMSolver(steps, grid)


def test_the_first_step_is_ddims():
    prior, noise = mixture(), Noise([1], dtype=torch.float64)
    state = State(torch.randn(1, 3, dtype=torch.float64), torch.tensor([0.6], dtype=torch.float64))
    s = torch.tensor([0.5], dtype=torch.float64)
    torch.testing.assert_close(
        DPMSolver(2).step(prior, state, s, noise).x_t, DDIM(2).step(prior, state, s, noise).x_t
    )


def test_a_line_in_lambda_is_followed_in_the_middle():
    """With x_0_hat linear in lambda, the estimate of a step is its value in the middle of the
    step.
    """
    prior, noise = mixture(), Noise([1], dtype=torch.float64)
    t, s, r = (torch.tensor([value], dtype=torch.float64) for value in (0.5, 0.42, 0.6))
    half = {float(u): float(prior.schedule.log_snr(u)) / 2 for u in (r, t, s)}
    prior.denoise = lambda x_t, u: 0 * x_t + half[float(u)]
    x_t = torch.randn(1, 3, dtype=torch.float64)
    x_s = DPMSolver(3).step(prior, State(x_t, t, 1, (0 * x_t + half[float(r)], r)), s, noise).x_t
    alpha, sigma = prior.schedule.alpha(s), prior.schedule.sigma(s)
    middle = (half[float(t)] + half[float(s)]) / 2
    gain = alpha - sigma * prior.schedule.alpha(t) / prior.schedule.sigma(t)
    torch.testing.assert_close(x_s, sigma / prior.schedule.sigma(t) * x_t + gain * middle)
