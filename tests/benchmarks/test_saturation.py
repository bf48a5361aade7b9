"""What looking at one entry at a time can say of a signal that was clipped."""

import pytest
import torch
from saturation import entry_by_entry

from deft.likelihoods import GaussianLikelihood, Observation
from deft.operators import HighDynamicRange

UNIFORM = torch.linspace(-1, 1, 20001).view(1, 1, 1, -1)


def _estimate(y, sigma_y):
    likelihood = GaussianLikelihood(HighDynamicRange(), sigma_y)
    return (
        entry_by_entry(Observation(torch.tensor(y).view(1, 1, 1, -1), likelihood), UNIFORM)
        .flatten()
        .tolist()
    )


def test_where_nothing_is_clipped_it_is_the_measurement_over_the_factor():
    assert _estimate([-0.6, 0.0, 0.5], 0.02) == pytest.approx([-0.3, 0.0, 0.25], abs=0.005)


def test_where_it_is_clipped_it_is_the_mean_of_what_may_have_been():
    assert _estimate([-1.1, 1.1], 0.02) == pytest.approx([-0.75, 0.75], abs=0.005)
