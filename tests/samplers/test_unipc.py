import pytest
import torch
from jaxtyping import TypeCheckError

from deft.errors import InvalidInput
from deft.noise import Noise
from deft.samplers.ddim import DDIM
from deft.samplers.dpm_solver import DPMSolver
from deft.samplers.grids import UniformLogSNR
from deft.samplers.heun import Heun
from deft.samplers.unipc import UniPC
from deft.schedules import VPTabulated
from tests.closed_form import DOUBLE, mixture
from tests.contracts.sampler import SamplerContract
from tests.samplers.multistep import Given, end_of_a_polynomial


class TestThirdOrder(SamplerContract):
    order, steps = 3, 20

    def sampler(self, steps, grid=None):
        return UniPC(steps, grid, order=3)


class TestSecondOrder(SamplerContract):
    """The corrector makes it one better."""

    order, steps = 3, 40

    def sampler(self, steps, grid=None):
        return UniPC(steps, grid, order=2, variant="bh1")


def test_its_error_is_below_that_of_solvers_of_the_second_order():
    prior, grid = mixture(), UniformLogSNR(high=8.0)
    truth = Heun(400, grid)(prior, 64, seed=1)

    def error(sampler):
        return float((sampler(prior, 64, seed=1) - truth).square().mean().sqrt())

    coarse, fine = (error(UniPC(steps, grid)) for steps in (24, 48))
    assert coarse / fine > 5  # less than 2^3: the first and the last steps are of lower orders
    assert coarse < error(DPMSolver(24, grid))


@pytest.mark.parametrize("order", [1, 2, 3])
def test_an_estimate_that_is_a_polynomial_in_lambda_is_followed_exactly(order):
    """Of a degree below the order; the corrector of the steps before the last knows one more."""
    times = torch.linspace(0.6, 0.2, 9, dtype=DOUBLE)
    for power in range(order + 1):
        sampler = UniPC(40, order=order, variant="exact")  # the last steps are not reached
        found, exact = end_of_a_polynomial(sampler, times, [0.0] * power + [1.0], corrects=True)
        if power < order:
            assert found == pytest.approx(exact, abs=1e-8)
        else:
            assert abs(found - exact) > 1e-5


def test_order_one_without_an_estimate_to_correct_with_is_ddim():
    prior, noise = mixture(), Noise([3], dtype=DOUBLE)
    torch.testing.assert_close(UniPC(2, order=1).run(prior, noise), DPMSolver(2).run(prior, noise))
    grid = UniformLogSNR()
    torch.testing.assert_close(
        UniPC(2, grid).run(prior, noise), DDIM(2, grid=grid).run(prior, noise)
    )


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("steps", [5, 12])
def test_samples_are_those_of_diffusers(order, steps):
    diffusers = pytest.importorskip("diffusers")
    scheduler = diffusers.UniPCMultistepScheduler(
        solver_order=order,
        num_train_timesteps=1000,
        beta_start=1e-4,
        beta_end=0.02,
        beta_schedule="linear",
        prediction_type="sample",
        final_sigmas_type="zero",
    )
    ours, theirs = against_a_scheduler(scheduler, steps, lambda grid: UniPC(steps, grid, order))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)  # its table is in single precision


def against_a_scheduler(scheduler, steps, sampler):
    """The sample of a sampler at the times of a scheduler, and the scheduler's."""
    prior, noise = mixture(VPTabulated.linear(1000)), Noise([1, 2], dtype=DOUBLE)
    scheduler.set_timesteps(steps)
    times = scheduler.timesteps.double() / 999
    x = prior.initial(noise)
    for t, k in zip(times, scheduler.timesteps):
        x = scheduler.step(prior.denoise(x, t[None]), k, x).prev_sample
    return sampler(Given(times)).run(prior, noise), x


@pytest.mark.parametrize("order", [0, 4])
def test_what_is_no_order_is_refused(order):
    with pytest.raises(InvalidInput) as raised:
        UniPC(5, order=order)
    assert raised.value.what == "order"


def test_what_is_no_variant_is_refused():
    with pytest.raises((InvalidInput, TypeCheckError), match="bh3"):
        UniPC(5, variant="bh3")
