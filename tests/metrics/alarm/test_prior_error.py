"""The prior's error of a Gaussian, where it is known."""

import pytest
import torch

from deft.metrics.alarm.prior_error import LEVELS, names, prior_errors
from tests.metrics.alarm.smooth import PLACES, covariance, prior, signals


def test_it_is_the_error_of_the_wiener_filter_on_average():
    own = prior()
    found = prior_errors(own, signals(600, 1)).exp().mean(0)
    eigenvalues = torch.linalg.eigvalsh(covariance())
    for place, level in enumerate(LEVELS):
        snr = torch.tensor(level, dtype=torch.float64).exp()
        left = (eigenvalues / (1 + eigenvalues * snr)).mean()
        white = own.scale**2 / (1 + own.scale**2 * snr)
        assert float(found[place]) == pytest.approx(float(left / white), rel=0.1)


def test_it_is_a_function_of_the_signal_and_its_place():
    x = signals(4, 5)
    whole = prior_errors(prior(), x)
    assert torch.allclose(prior_errors(prior(), x[2:], first=2), whole[2:])
    assert whole.shape == (4, len(LEVELS)) == (4, len(names()))


def test_rough_signals_are_known_less():
    rough = torch.randn(8, PLACES, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert bool((prior_errors(prior(), rough) > prior_errors(prior(), signals(8, 5)))[:, 1:].all())


def test_levels_beyond_the_schedule_are_taken_at_its_end():
    low, high = prior().schedule.log_snr_range
    ends = prior_errors(prior(), signals(2, 5), (low, high))
    beyond = prior_errors(prior(), signals(2, 5), (low - 50, high + 50))
    assert torch.allclose(ends, beyond)
