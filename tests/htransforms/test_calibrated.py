import itertools

import pytest
import torch

from deft.errors import InvalidInput
from deft.htransforms.base import HTransform, NoConditioning
from deft.htransforms.calibrated import Calibrated, bands, radial_frequency
from deft.htransforms.composed import Scaled
from deft.htransforms.dps import DPS
from deft.htransforms.exact import Exact
from tests.closed_form import DOUBLE, measured, mixture
from tests.contracts.htransform import HTransformContract


def made(h_transform, prior, value=0.0):
    calibrated = Calibrated(h_transform, prior.event_shape, low=-2.0, high=6.0, levels=5).double()
    calibrated.slopes[1:] = value
    return calibrated


class TestWithoutSlopes(HTransformContract):
    def h_transform(self, prior):
        return made(Exact(prior), prior)


class TestWithSlopes(HTransformContract):
    builds_on_the_prior = False  # the prior's own error is taken out, too
    reads_noise_level = False

    def h_transform(self, prior):
        return made(Exact(prior), prior, 0.1)


class TestOfOneThatDifferentiatesThePrior(HTransformContract):
    reads_noise_level = False

    def h_transform(self, prior):
        return made(DPS(0.2), prior)


def observed(prior, n):
    return TestWithSlopes().observation(prior, n)


def states(prior, log_snr, n=3):
    t = prior.schedule.time(torch.tensor(log_snr, dtype=DOUBLE))
    x_t = torch.randn(
        n, *prior.event_shape, dtype=DOUBLE, generator=torch.Generator().manual_seed(0)
    )
    return prior.at(x_t, t)


def test_one_slope_for_all_bands_moves_towards_x_t_by_it():
    prior = TestWithSlopes().prior()
    denoised = states(prior, [2.0])
    shift = made(NoConditioning(), prior, 0.3).shift(denoised, observed(prior, len(denoised.x_t)))
    torch.testing.assert_close(shift, 0.3 * (denoised.x_t / denoised.alpha_t - denoised.x_0_hat))


def test_a_band_moves_its_own_frequencies_alone():
    prior = TestWithSlopes().prior()
    denoised = states(prior, [2.0])
    calibrated = made(Scaled(NoConditioning(), 2.0), prior)
    calibrated.slopes[:, 0] = 1.0  # the mean of each channel
    left = denoised.x_t / denoised.alpha_t - denoised.x_0_hat
    torch.testing.assert_close(
        calibrated.shift(denoised, observed(prior, len(denoised.x_t))),
        left.mean((2, 3), keepdim=True).expand_as(left),
    )


def test_slopes_are_linear_between_levels_and_end_with_them():
    prior = TestWithSlopes().prior()
    calibrated = made(NoConditioning(), prior)
    calibrated.slopes.copy_(
        torch.tensor([0.0, 0.1, 0.2, 0.2, 0.4], dtype=DOUBLE)[:, None].expand_as(calibrated.slopes)
    )
    denoised = states(prior, [-3.0, 1.0, 5.0, 7.0], n=4)
    left = denoised.x_t / denoised.alpha_t - denoised.x_0_hat
    wanted = torch.tensor([0.0, 0.15, 0.3, 0.4], dtype=DOUBLE)[:, None, None, None]
    torch.testing.assert_close(
        calibrated.shift(denoised, observed(prior, len(denoised.x_t))), wanted * left
    )


def test_every_frequency_is_in_its_band():
    for space in [(128, 128), (32, 32), (7,), (5, 6, 7), (1, 1)]:
        edges = bands(space)
        frequency = radial_frequency(space)
        assert edges[0] <= float(frequency.min())
        assert float(frequency.max()) < edges[-1]
        calibrated = Calibrated(NoConditioning(), (1, *space), low=0.0, high=1.0)
        for k, (low, high) in enumerate(itertools.pairwise(edges)):
            inside = (frequency >= low) & (frequency < high)
            assert bool(inside.any())
            assert torch.equal(calibrated.band == k, inside)


def test_it_costs_what_is_inside_costs():
    prior = mixture()
    assert (
        made(DPS(0.2), TestWithSlopes().prior()).prior_gradients_per_step
        == DPS(0.2).prior_gradients_per_step
    )
    with pytest.raises(InvalidInput, match="corrects frequencies"):
        Calibrated(Exact(prior), prior.event_shape, low=0.0, high=9.0)
    with pytest.raises(InvalidInput, match=r"got \(3\.0, 1\.0\)"):
        Calibrated(NoConditioning(), (1, 8, 8), low=3.0, high=1.0, levels=5)


def test_a_check_reaches_what_is_inside():
    class Refusing(HTransform):
        def shift(self, denoised, observation):
            raise AssertionError

        def check(self, prior, observation):
            raise InvalidInput("refused")

    with pytest.raises(InvalidInput, match=r"another shape|refused"):
        Calibrated(Refusing(), (1, 4, 4), low=0.0, high=1.0).check(mixture(), measured(mixture()))
