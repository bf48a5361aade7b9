import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from deft.errors import InvalidInput
from deft.metrics.orthogonality import slopes
from tests.closed_form import DOUBLE


def gaussian(n=400, variance=0.5, sigma_t=0.6, alpha_t=0.8, seed=0, shape=(1, 12, 12)):
    """x_0 of white entries, x_t, alpha_t, and k, what the posterior mean takes of x_t / alpha_t."""
    generator = torch.Generator().manual_seed(seed)
    x_0, noise = (torch.randn(n, *shape, generator=generator, dtype=DOUBLE) for _ in range(2))
    x_0 = math.sqrt(variance) * x_0
    alpha = torch.tensor(alpha_t, dtype=DOUBLE)
    return (
        x_0,
        alpha * x_0 + sigma_t * noise,
        alpha,
        variance / (variance + (sigma_t / alpha_t) ** 2),
    )


def test_the_posterior_mean_has_slope_zero():
    x_0, x_t, alpha_t, k = gaussian()
    found = slopes(x_0, x_t, alpha_t, k * x_t / alpha_t)
    assert found.signals == 400
    assert len(found.values) == 4
    assert all(abs(value) < 4 * error for value, error in zip(found.values, found.standard_errors))
    assert max(found.standard_errors) < 0.05


@given(st.floats(0.0, 0.9), st.floats(0.1, 2.0))
def test_another_gain_has_the_slope_of_the_closed_form(taken, variance):
    x_0, x_t, alpha_t, k = gaussian(variance=variance)
    found = slopes(x_0, x_t, alpha_t, taken * x_t / alpha_t)
    wanted = (k - taken) / (1 - taken)
    assert all(
        abs(value - wanted) < 5 * error for value, error in zip(found.values, found.standard_errors)
    )


def test_a_band_sees_its_own_frequencies():
    x_0, x_t, alpha_t, k = gaussian(shape=(2, 16))
    u = torch.fft.fft(x_t / alpha_t)
    low = torch.fft.fftfreq(16).abs() < 0.2
    estimate = torch.fft.ifft(torch.where(low, 0.3 * k, k) * u).real  # follows low ones too little
    found = slopes(x_0, x_t, alpha_t, estimate, edges=(0.0, 0.2, 0.6))
    assert found.values[0] > 0.3
    assert abs(found.values[1]) < 4 * found.standard_errors[1]


def test_standard_errors_are_the_spread_over_repetitions():
    repeated = [
        slopes(x_0, x_t, a, k * x_t / a)
        for x_0, x_t, a, k in (gaussian(n=40, seed=s) for s in range(60))
    ]
    spread = torch.tensor([r.values[1] for r in repeated]).std()
    said = torch.tensor([r.standard_errors[1] for r in repeated]).mean()
    assert 0.75 < said / spread < 1.3


def test_alpha_may_differ_between_signals():
    x_0, x_t, alpha_t, k = gaussian(n=50)
    once = slopes(x_0, x_t, alpha_t, k * x_t / alpha_t)
    assert slopes(x_0, x_t, alpha_t.expand(50), k * x_t / alpha_t) == once
    assert str(once).startswith("0 to 0.05: ")


def test_what_cannot_be_compared_is_refused():
    x_0, x_t, alpha_t, _k = gaussian(n=3)
    with pytest.raises(
        InvalidInput, match=r"got \(3, 1, 12, 12\), \(3, 1, 12, 12\) and \(2, 1, 12, 12\)"
    ):
        slopes(x_0, x_t, alpha_t, x_t[:2])
    with pytest.raises(InvalidInput, match="two or more"):
        slopes(x_0[:1], x_t[:1], alpha_t, x_t[:1])
    with pytest.raises(InvalidInput, match=r"got \[0\.3, 0\.1\]"):
        slopes(x_0, x_t, alpha_t, x_t, edges=(0.3, 0.1))
    with pytest.raises(InvalidInput, match="no frequency"):
        slopes(x_0, x_t, alpha_t, x_t * 0, edges=(0.8, 0.9))
