"""DDPM with less noise: DDPM where the scale is 1, narrower where it is below."""

import pytest
import torch

from deft.errors import InvalidInput
from deft.noise import Noise
from deft.priors.gaussian_chain import GaussianChain
from deft.samplers.cooled import Cooled
from deft.samplers.ddim import DDIM
from deft.schedules import VE
from deft.steps import State
from tests.closed_form import mixture
from tests.contracts.sampler import SamplerContract


class TestAtFullNoise(SamplerContract):
    order, steps = 1, 80

    def sampler(self, steps, grid=None):
        return Cooled(steps, noise_scale=1.0, grid=grid)


def chain():
    return GaussianChain(12, schedule=VE(0.02, 80.0)).double()


def spread(sampler, count=200):
    """The variance of one coordinate of samples."""
    x_0 = sampler.run(chain(), Noise(range(count), dtype=torch.float64))
    return float(x_0.square().mean())


def test_with_the_whole_noise_it_is_ddpm():
    prior, noise = mixture(), Noise([3, 4], dtype=torch.float64)
    cooled, ddpm = Cooled(8, noise_scale=1.0), DDIM(8, eta=1.0)
    torch.testing.assert_close(cooled.run(prior, noise), ddpm.run(prior, noise))


def test_less_noise_is_a_narrower_law_and_below_a_level_a_little_narrower():
    """Variances of a Gaussian chain, which has most of its own at the largest scales."""
    whole, below, all_levels = (
        spread(Cooled(20, noise_scale=scale, below=level))
        for scale, level in ((1.0, None), (0.5, 2.0), (0.5, None))
    )
    assert all_levels < 0.7 * whole
    assert all_levels < 0.8 * below < 0.8 * 1.02 * whole


def test_the_last_noise_is_scaled_by_the_share_that_is_asked():
    """x_s less its mean, at a level on either side of `below`."""
    prior, noise = chain(), Noise([1], dtype=torch.float64)
    for log_snr, scaled in ((-2.0, 1.0), (2.0, 0.25)):
        t = prior.schedule.time(torch.tensor([log_snr], dtype=torch.float64))
        x_t, s = prior.initial(noise), 0.7 * t
        none, some, full = (
            Cooled(4, noise_scale=k, below=1.0).step(prior, State(x_t, t), s, noise).x_t
            for k in (0.0, 0.25, 1.0)
        )
        if scaled == 1.0:
            torch.testing.assert_close(some, full)
        else:
            torch.testing.assert_close(some - none, scaled * (full - none))


@pytest.mark.parametrize(
    ("name", "value"), [("noise_scale", 1.5), ("noise_scale", -0.1), ("below", 0.0)]
)
def test_numbers_that_mean_nothing_are_refused(name, value):
    with pytest.raises(InvalidInput, match=name):
        Cooled(4, **{name: value})
