import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deft.errors import InvalidInput, OutOfMemory
from deft.noise import Noise
from deft.priors.callable import CallablePrior
from deft.priors.gaussian_mixture import GaussianMixture
from deft.samplers.arguments import observation_seeds
from deft.samplers.ddim import DDIM
from deft.samplers.grids import UniformLogSNR, UniformTime
from deft.schedules import EDM, VE, RectifiedFlow, VPLinear, VPTabulated
from deft.transitions import Transition

SCHEDULES = [VPLinear(), VE(), EDM(), RectifiedFlow()]


@given(
    ends=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    eta=st.floats(0, 1),
    which=st.integers(0, len(SCHEDULES) - 1),
)
@settings(max_examples=100)
def test_a_transition_keeps_the_marginals(ends, eta, which):
    """alpha_s x_0 and variance sigma_s^2, from x_t = alpha_t x_0 + sigma_t eps and x_0_hat =
    x_0.
    """
    s, t = sorted(ends)
    schedule = SCHEDULES[which]
    s, t = torch.tensor([s], dtype=torch.float64), torch.tensor([t], dtype=torch.float64)
    step = Transition.between(schedule, t, s, eta)
    torch.testing.assert_close(step.a + step.b * schedule.alpha(t), schedule.alpha(s))
    torch.testing.assert_close(
        (step.b * schedule.sigma(t)) ** 2 + step.c**2, schedule.sigma(s) ** 2
    )


@pytest.mark.parametrize("times", [1, 3])
def test_the_log_ratio_of_a_step_is_that_of_its_densities(times):
    schedule = VPLinear()
    t, s = (
        torch.linspace(0.4, 0.6, times, dtype=torch.float64),
        torch.linspace(0.3, 0.5, times, dtype=torch.float64),
    )
    x_s, x_t, x_0_hat, shift = torch.randn(4, 3, 2, 5, dtype=torch.float64)
    step = Transition.between(schedule, t, s, 0.7)
    c = step.c[:, None, None]
    p, q = (
        torch.distributions.Normal(step.mean(mean, x_t), c).log_prob(x_s).sum((1, 2))
        for mean in (x_0_hat, x_0_hat + shift)
    )
    torch.testing.assert_close(step.log_ratio(x_s, x_t, x_0_hat, shift), p - q)


@pytest.mark.parametrize(
    "grid",
    [UniformTime(), UniformLogSNR(), UniformLogSNR(high=100.0), UniformLogSNR(high=4.0, low=-6.0)],
)
@pytest.mark.parametrize("schedule", [*SCHEDULES, VPTabulated.linear()])
@pytest.mark.parametrize("steps", [1, 2, 50])
def test_grids_start_at_one_and_fall(grid, schedule, steps):
    times = grid.times(schedule, steps)
    assert times.shape == (steps,)
    assert times[0] == 1
    assert bool((times.diff() < 0).all())
    assert float(times[-1]) >= 0
    torch.testing.assert_close(schedule.snap(times), times)


def test_uniform_in_log_snr():
    schedule = VPLinear()
    log_snr = schedule.log_snr(UniformLogSNR(high=5.0).times(schedule, 9))
    torch.testing.assert_close(log_snr.diff(), log_snr.diff()[:1].expand(8), rtol=1e-6, atol=0)
    assert float(log_snr[-1]) == pytest.approx(5.0)


def test_times_of_a_table_move_apart():
    schedule = VPTabulated.linear()  # its log-SNRs are 9.2, 8.4, 7.9, ... at the clean end
    place = schedule.index(UniformLogSNR(high=9.2).times(schedule, 100))
    assert place[-4:].tolist() == [3, 2, 1, 0]
    with pytest.raises(InvalidInput, match="ask for fewer steps"):
        UniformLogSNR().times(VPTabulated.linear(20, 1e-3, 0.5), 21)


def test_seeds():
    assert len(set(observation_seeds(3, 100))) == 100
    assert observation_seeds([4, 5], 2) == [4, 5]
    assert observation_seeds(3, 2) == observation_seeds(3, 5)[:2]
    with pytest.raises(InvalidInput, match="3 seeds for 2 observations"):
        observation_seeds([1, 2, 3], 2)


@pytest.mark.parametrize("kind", [np.int64, np.uint8, np.array, torch.tensor])
def test_seeds_may_be_any_integers(kind):
    assert observation_seeds(kind(3), 2) == observation_seeds(3, 2)
    assert observation_seeds([kind(4), kind(5)], 2) == [4, 5]
    assert (
        observation_seeds(np.array([4, 5]), 2)
        == observation_seeds(torch.tensor([4, 5]), 2)
        == [4, 5]
    )
    prior = CallablePrior(lambda x_t, t: 0.5 * x_t, VPLinear(), (3,), 1.0)
    assert torch.equal(DDIM(2)(prior, 2, seed=kind(3)), DDIM(2)(prior, 2, seed=3))


def test_seeds_are_integers_alone():
    for seed in (True, np.array([0.5, 1.0]), torch.tensor([True, False])):
        with pytest.raises(InvalidInput, match="a seed is an integer"):
            observation_seeds(seed, 2)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
)
def test_without_memory_it_says_which_batch_size_to_try(error):
    def denoise(x_t, t):
        if len(x_t) > 2:
            raise error
        return 0 * x_t

    prior = CallablePrior(denoise, VPLinear(), (3,), 1.0)
    with pytest.raises(OutOfMemory, match="no room for 5 signals at once; try batch_size=2"):
        DDIM(2)(prior, 5)
    assert DDIM(2)(prior, 5, batch_size=2).shape == (1, 5, 3)
    with pytest.raises(RuntimeError, match="shapes"):
        DDIM(2)(CallablePrior(_raise_shapes, VPLinear(), (3,), 1.0), 2)


def _raise_shapes(x_t, t):
    raise RuntimeError("shapes")


def test_run_draws_one_signal_for_each_seed():
    prior = GaussianMixture(
        torch.zeros(1, 2, dtype=torch.float64), torch.ones(1, dtype=torch.float64), None, VPLinear()
    )
    sampler, seeds = DDIM(6, eta=1.0), Noise([3, 4], dtype=torch.float64)
    together = sampler.run(prior, seeds)
    assert together.shape == (2, 2)
    torch.testing.assert_close(together[1:], sampler.run(prior, seeds.take([1])))
    drawn = sampler(prior, 3, seed=[7])
    torch.testing.assert_close(
        drawn[0], sampler.run(prior, Noise([7], dtype=torch.float64).repeat(3))
    )
