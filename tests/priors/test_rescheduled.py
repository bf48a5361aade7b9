import math

import pytest
import torch

from deft.errors import ScheduleOutOfRange
from deft.noise import Noise
from deft.priors.rescheduled import Rescheduled
from deft.samplers.ddim import DDIM
from deft.samplers.grids import UniformLogSNR
from deft.schedules import EDM, VE, RectifiedFlow, VPCosine, VPLinear, VPTabulated
from tests.contracts.prior import PriorContract
from tests.priors.test_gaussian_mixture import mixture

SCHEDULES = [VPLinear, VE, EDM, RectifiedFlow]
ENDS = (-9.0, 9.0)


def with_ends(kind):
    """Each schedule, cut to the same log-SNRs at both ends."""
    sigma = math.exp(4.5)
    if kind is RectifiedFlow:
        return RectifiedFlow(1 / (1 + sigma))
    if kind is VPLinear:
        total = math.log1p(math.exp(9.0))
        t_min = float(
            VPLinear(0.1, 2 * total - 0.1, 1e-9).time(torch.tensor([9.0], dtype=torch.float64))
        )
        return VPLinear(0.1, 2 * total - 0.1, t_min)
    return kind(1 / sigma, sigma)


class TestContinuous(PriorContract):
    def prior(self):
        return Rescheduled(mixture(VPCosine(-12, 12)), VE(0.01, 100))


class TestTabulated(PriorContract):
    def prior(self):
        return Rescheduled(mixture(VPTabulated.linear()), VPLinear(0.1, 18))


@pytest.mark.parametrize("kind", SCHEDULES)
@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_a_whole_trajectory_is_the_same_up_to_scale(kind, eta):
    prior = mixture(VPCosine(*ENDS))
    sampler = DDIM(12, eta=eta, grid=UniformLogSNR(high=7))
    paths = []
    for p in (prior, Rescheduled(prior, with_ends(kind))):
        path = []
        x_0 = sampler(
            p,
            2,
            seed=4,
            on_step=lambda state, p=p, path=path: path.append(
                state.x_t / p.levels(state.x_t, state.t)[0]
            ),
        )
        paths.append([*path, x_0[0]])
    for a, b in zip(*paths):
        torch.testing.assert_close(
            a, b, rtol=1e-7, atol=1e-7
        )  # the ends of the schedules agree to rounding of their parameters


def test_times_are_snapped_to_those_of_the_network():
    known = VPTabulated.linear(100, 1e-3, 0.2)
    moved = Rescheduled(mixture(known), VE(0.05, 90))
    t = moved.schedule.snap(torch.linspace(0.1, 0.9, 9, dtype=torch.float64))
    place = known.time(moved.schedule.log_snr(t)) * 99
    torch.testing.assert_close(place, place.round(), rtol=0, atol=1e-8)


def test_noise_levels_beyond_the_network_are_refused():
    prior = mixture(VPCosine(-8, 8))
    with pytest.raises(ScheduleOutOfRange, match=r"log-SNR -13\.8.* -8\.00 to 8\.00"):
        Rescheduled(prior, RectifiedFlow())
    moved = Rescheduled(prior, VE(0.001, 50))
    with pytest.raises(ScheduleOutOfRange, match="choose the ends"):
        moved.denoise(torch.zeros(1, 2, 2, dtype=torch.float64), torch.zeros(1))


def test_the_start_is_the_priors_own():
    prior = mixture(VPCosine(*ENDS))
    moved = Rescheduled(prior, with_ends(VE))
    noise = Noise(range(3), dtype=torch.float64)
    one = torch.ones(1, dtype=torch.float64)
    torch.testing.assert_close(
        moved.initial(noise), prior.initial(noise) / prior.schedule.alpha(one), rtol=1e-6, atol=0
    )
