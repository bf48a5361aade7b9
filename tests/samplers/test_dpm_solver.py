import pytest
import torch

from deft.errors import InvalidInput
from deft.noise import Noise
from deft.samplers.ddim import DDIM
from deft.samplers.dpm_solver import DPMSolver
from deft.samplers.grids import UniformLogSNR
from deft.steps import State
from tests.closed_form import mixture
from tests.contracts.sampler import SamplerContract
from tests.samplers.multistep import end_of_a_polynomial
from tests.samplers.test_unipc import against_a_scheduler


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


class TestThirdOrder(SamplerContract):
    order, steps = 3, 20

    def sampler(self, steps, grid=None):
        return DPMSolver(steps, grid, order=3)


class TestFirstOrder(SamplerContract):
    order, steps = 1, 80

    def sampler(self, steps, grid=None):
        return DPMSolver(steps, grid, order=1)


class TestFreshNoise(SamplerContract):
    order, steps = 2, 40

    def sampler(self, steps, grid=None):
        return DPMSolver(steps, grid, eta=1.0)


@pytest.mark.parametrize("order", [1, 3])
def test_a_polynomial_in_lambda_is_followed_exactly(order):
    """Of a degree below the order; 2M takes the middle of a line, which is not its integral."""
    times = torch.linspace(0.6, 0.2, 9, dtype=torch.float64)
    for power in range(order + 1):
        sampler = DPMSolver(40, order=order)  # the last steps are not reached
        found, exact = end_of_a_polynomial(sampler, times, [0.0] * power + [1.0])
        if power < order:
            assert found == pytest.approx(exact, abs=1e-8)
        else:
            assert abs(found - exact) > 1e-5


@pytest.mark.parametrize("order", [1, 2, 3])
def test_the_error_falls_at_the_order(order):
    """Behind a start that is known; 0.75 since halved steps are not yet as short as they should
    be.
    """
    schedule = mixture().schedule

    def error(steps):
        lam = torch.linspace(-4, 6, steps, dtype=torch.float64)
        found, exact = end_of_a_polynomial(
            DPMSolver(4 * steps, order=order), schedule.time(lam), WAVE
        )
        return abs(found - exact)

    assert 0.75 * 2**order < error(60) / error(120) < 1.5 * 2**order


WAVE = [1.0, -0.5, 0.3, 0.2, -0.05]


def test_fresh_noise_at_order_one_is_ddims():
    prior, grid, noise = mixture(), UniformLogSNR(), Noise([3, 4], dtype=torch.float64)
    torch.testing.assert_close(
        DPMSolver(6, grid, order=1, eta=0.7).run(prior, noise),
        DDIM(6, eta=0.7, grid=grid).run(prior, noise),
    )


@pytest.mark.parametrize("order", [1, 2])
def test_samples_are_those_of_diffusers(order):
    diffusers = pytest.importorskip("diffusers")
    scheduler = diffusers.DPMSolverMultistepScheduler(**DDPM, solver_order=order)
    ours, theirs = against_a_scheduler(scheduler, 8, lambda grid: DPMSolver(8, grid, order=order))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


def test_the_third_order_is_the_predictor_of_unipc():
    """Not diffusers' own third order, which weighs the curvature by half of its integral."""
    diffusers = pytest.importorskip("diffusers")
    scheduler = diffusers.UniPCMultistepScheduler(
        **DDPM, solver_order=3, disable_corrector=list(range(12))
    )
    ours, theirs = against_a_scheduler(scheduler, 12, lambda grid: DPMSolver(12, grid, order=3))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)
    half = diffusers.DPMSolverMultistepScheduler(**DDPM, solver_order=3)
    ours, theirs = against_a_scheduler(half, 12, lambda grid: DPMSolver(12, grid, order=3))
    assert float((ours - theirs).abs().max()) > 1e-3


DDPM = {
    "num_train_timesteps": 1000,
    "beta_start": 1e-4,
    "beta_end": 0.02,
    "beta_schedule": "linear",
    "prediction_type": "sample",
    "final_sigmas_type": "zero",
}


@pytest.mark.parametrize(
    ("what", "arguments"),
    [
        ("order", {"order": 4}),
        ("order", {"order": 0}),
        ("eta", {"eta": 1.5}),
        ("eta", {"eta": 0.5, "order": 3}),
    ],
)
def test_what_does_not_fit_is_refused(what, arguments):
    with pytest.raises(InvalidInput) as raised:
        DPMSolver(5, **arguments)
    assert raised.value.what == what
