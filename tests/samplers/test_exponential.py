import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deft.samplers.exponential import half_log_snr, moments, moved, weights
from deft.schedules import VPCosine
from tests.closed_form import DOUBLE


def integral(h: float, k: int) -> float:
    """h int_0^1 e^{-h (1 - u)} u^k du by Simpson's rule on 20,000 pieces."""
    u = torch.linspace(0, 1, 20_001, dtype=DOUBLE)
    w = torch.ones_like(u)
    w[1:-1:2], w[2:-1:2] = 4, 2
    return float((w * h * torch.exp(-h * (1 - u)) * u**k).sum() / 60_000)


@pytest.mark.parametrize("h", [1e-6, 1e-3, 0.1, 0.999, 1.001, 3.0, 12.0])
def test_moments_are_the_integrals(h):
    found = moments(torch.tensor([h], dtype=DOUBLE), 4)
    expected = torch.tensor([integral(h, k) for k in range(4)], dtype=DOUBLE)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=0)


def test_moments_of_small_steps_keep_their_digits():
    """M_k = h / (k + 1) (1 - h / (k + 2) + ...): the recursion would lose all of them."""
    h = 1e-7
    found = moments(torch.tensor([h], dtype=DOUBLE), 4).tolist()
    for k, value in enumerate(found):
        assert value == pytest.approx(h / (k + 1) * (1 - h / (k + 2)), rel=1e-13)


@settings(max_examples=30, deadline=None)
@given(
    h=st.floats(1e-3, 6.0),
    before=st.lists(st.floats(0.05, 3.0), min_size=0, max_size=3),
    power=st.integers(0, 3),
)
def test_powers_below_the_number_of_evaluations_are_integrated_exactly(h, before, power):
    places = [0.0]
    for gap in before:
        places.append(places[-1] - gap)
    power = min(power, len(places) - 1)
    w = weights(torch.tensor([h], dtype=DOUBLE), [torch.tensor([p], dtype=DOUBLE) for p in places])
    u = torch.tensor(places, dtype=DOUBLE) / h
    exact = moments(torch.tensor([h], dtype=DOUBLE), 4)[power]
    torch.testing.assert_close(
        (w * u**power).sum(), exact, rtol=1e-9, atol=1e-10 * float((w * u**power).abs().max())
    )


def test_a_constant_estimate_is_followed_exactly():
    schedule = VPCosine()
    t, s = (torch.tensor([v], dtype=DOUBLE) for v in (0.7, 0.3))
    h = half_log_snr(schedule, s) - half_log_snr(schedule, t)
    x_t, x_0 = torch.randn(2, 3, dtype=DOUBLE), torch.randn(2, 3, dtype=DOUBLE)
    x_s = moved(schedule, x_t, t, s, weights(h, [0 * h]), [x_0])
    eps = (x_t - schedule.alpha(t) * x_0) / schedule.sigma(t)
    torch.testing.assert_close(x_s, schedule.alpha(s) * x_0 + schedule.sigma(s) * eps)
    assert math.isfinite(float(h))
