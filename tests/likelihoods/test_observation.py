"""What an observation takes for y, and in which precision."""

import math
import warnings

import pytest
import torch

from deft.errors import InvalidInput
from deft.htransforms.dps import DPS
from deft.htransforms.pigdm import PiGDM
from deft.likelihoods import GaussianLikelihood, Observation, warn_doubts
from deft.operators import Identity, Inpainting
from deft.posterior import Posterior
from deft.samplers.ddim import DDIM
from tests.closed_form import mixture


class TestNotFinite:
    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    def test_it_is_refused_and_says_where(self, value):
        y = torch.zeros(3, 1, 4, 5)
        y[1, 0, 2, 3] = value
        with pytest.raises(InvalidInput) as raised:
            Observation(y, GaussianLikelihood(Identity(), 0.1))
        assert "signal 1" in raised.value.what
        assert f"{value} at (0, 2, 3)" in str(raised.value.given)
        assert "finite" in raised.value.expected

    def test_what_is_no_measurement_may_be_anything(self):
        mask = torch.ones(1, 1, 4, 5)
        mask[..., 2, 3] = 0
        y = torch.ones(3, 1, 4, 5)
        y[1, 0, 2, 3] = math.nan
        observation = Observation(y, GaussianLikelihood(Inpainting(mask), 0.1))
        assert observation.y.isfinite().all()
        assert torch.equal(observation.y[0], y[0])
        assert observation.lifted.isfinite().all()
        y[1, 0, 2, 2] = math.nan
        with pytest.raises(InvalidInput):
            Observation(y, GaussianLikelihood(Inpainting(mask), 0.1))

    @pytest.mark.parametrize(
        "sigma_y",
        [math.nan, math.inf, -1.0, torch.tensor([0.1, math.nan]), "0.1", None],
    )
    def test_a_noise_level(self, sigma_y):
        make = getattr(GaussianLikelihood.__init__, "__wrapped__", GaussianLikelihood.__init__)
        with pytest.raises(InvalidInput) as raised:
            make(GaussianLikelihood.__new__(GaussianLikelihood), Identity(), sigma_y)
        assert raised.value.what == "sigma_y"
        assert ">= 0" in raised.value.expected


class TestPrecision:
    def observation(self, dtype):
        return Observation(
            torch.ones(2, 3, dtype=dtype),
            GaussianLikelihood(Identity(), torch.tensor([0.1, 0.2]).to(dtype)),
        )

    @pytest.mark.parametrize("h_transform", [DPS(0.1), PiGDM()], ids=["DPS", "PiGDM"])
    @pytest.mark.parametrize(
        ("theirs", "own"), [(torch.float64, torch.float32), (torch.float32, torch.float64)]
    )
    def test_a_posterior_takes_that_of_its_prior(self, h_transform, theirs, own):
        prior = mixture().to(own)
        observation = self.observation(theirs)
        samples = DDIM(4, eta=1.0)(Posterior(prior, h_transform, observation), 2, seed=0)
        assert samples.dtype == own
        expected = DDIM(4, eta=1.0)(Posterior(prior, h_transform, self.observation(own)), 2, seed=0)
        torch.testing.assert_close(samples, expected, atol=1e-4, rtol=1e-4)
        assert observation.y.dtype == theirs

    def test_the_same_one_is_kept(self):
        observation = self.observation(torch.float32)
        assert observation.in_dtype(torch.float32) is observation
        assert observation.in_dtype(torch.bfloat16) is observation

    def test_the_operator_comes_along(self):
        mask = torch.ones(1, 1, 4, 5, dtype=torch.float64)
        observation = Observation(
            torch.ones(2, 1, 4, 5, dtype=torch.float64), GaussianLikelihood(Inpainting(mask), 0.1)
        )
        lifted = observation.lifted
        single = observation.in_dtype(torch.float32)
        assert (
            single.residual(torch.zeros(2, 1, 4, 5)).dtype == single.lifted.dtype == torch.float32
        )
        assert observation.operator.mask.dtype == lifted.dtype == torch.float64


def test_nothing_is_doubted_of_most_operators():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert warn_doubts(Observation(torch.ones(2, 3), GaussianLikelihood(Identity(), 0.1))) == []
