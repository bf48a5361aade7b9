"""sigma_y, estimated, beside the maximum of the likelihood in closed form."""

from __future__ import annotations

import math

import pytest
import torch

from deft.errors import InvalidInput
from deft.htransforms.exact import Exact
from deft.likelihoods import Observation
from deft.metrics.alarm import Reference, estimate_sigma_y, measure
from deft.metrics.alarm.noise_level import FACTORS, NoiseLevel
from deft.samplers.dpm_solver import DPMSolver
from tests.metrics.alarm.smooth import (
    SIGMA_Y,
    measured,
    most_likely_sigma_y,
    posterior_samples,
    prior,
    signals,
)


@pytest.mark.parametrize("true", [0.15, 0.4])
def test_an_exact_h_gives_the_maximum_of_the_likelihood(true):
    own = prior()
    observed = measured(signals(4, 100), 200, sigma_y=true)
    found = estimate_sigma_y(
        own, Exact(own), observed, DPMSolver(8), between=(0.05, 1.0), num_samples=8
    )
    together, each = most_likely_sigma_y(observed)
    assert found.pooled == pytest.approx(together, rel=0.06)
    assert found.pooled == pytest.approx(true, rel=0.15)
    assert [math.log(v) for v in found.each] == pytest.approx([math.log(v) for v in each], abs=0.2)
    assert not found.at_end


@pytest.fixture(scope="module")
def curve() -> Reference:
    seed = 0
    x = signals(40, seed)
    parts = []
    for factor in (1.0, *FACTORS):
        observed = measured(x, seed + 500, sigma_y=factor * SIGMA_Y)
        parts.append(measure(prior(), observed, posterior_samples(observed, 4, seed), (4,)))
    order = sorted(zip((1.0, *FACTORS), parts, strict=True), key=lambda pair: pair[0])
    noise = {
        "factor": [factor for factor, _ in order],
        "shared": [[float(part[0, :, 1].mean()) for _, part in order]],
    }
    return Reference(parts[0], (4,), {}, noise=noise)


@pytest.mark.parametrize("true", [0.2, 0.3, 0.5, 0.9])
def test_one_level_is_enough_with_a_reference_of_others(curve, true):
    own, observed = prior(), measured(signals(12, 300), 400, sigma_y=true)
    found = estimate_sigma_y(
        own, Exact(own), observed, DPMSolver(10), reference=curve, num_samples=4
    )
    assert found.pooled == pytest.approx(true, rel=0.12)
    assert len(found.each) == 12
    assert "sigma_y estimated" in found.line()


def test_what_lies_outside_is_said(curve):
    own, observed = prior(), measured(signals(4, 1), 2, sigma_y=2.0)
    found = estimate_sigma_y(
        own, Exact(own), observed, DPMSolver(5), between=(0.1, 0.4), num_samples=2
    )
    assert found == NoiseLevel(found.each, pytest.approx(0.4), True)
    assert "beyond the end" in found.line()
    low = estimate_sigma_y(
        own,
        Exact(own),
        measured(signals(4, 1), 2, sigma_y=1e-3),
        DPMSolver(5),
        reference=curve,
        num_samples=4,
    )
    assert low.at_end


def test_without_a_range_or_a_reference_it_is_refused():
    own, observed = prior(), measured(signals(1, 1), 2)
    with pytest.raises(InvalidInput) as said:
        estimate_sigma_y(own, Exact(own), observed, DPMSolver(2))
    assert "deft alarm" in said.value.expected
    with pytest.raises(InvalidInput):
        estimate_sigma_y(own, Exact(own), observed, DPMSolver(2), between=(0.5, 0.1))


def test_other_noise_is_refused():
    own, observed = prior(), measured(signals(1, 1), 2)

    class Other(type(observed.likelihood).__mro__[1]):
        def __init__(self):
            super().__init__()
            self.operator, self.sigma_y = observed.operator, torch.ones(1)

        def log_prob(self, x_0, y):
            return y.sum(1)

        def sample(self, x_0, noise):
            return x_0

        def guidance(self, x_0_hat, r_t, y):
            return x_0_hat

        def take(self, index):
            return self

    with pytest.raises(InvalidInput) as said:
        estimate_sigma_y(own, Exact(own), Observation(observed.y, Other()), DPMSolver(2))
    assert said.value.given == "Other"
