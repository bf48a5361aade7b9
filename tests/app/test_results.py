"""What is shown of answers."""

import numpy as np
import torch

import deft
from deft.app.results import measurement, pictures, range_of
from deft.likelihoods import GaussianLikelihood
from deft.operators.inpainting import Inpainting
from deft.pipeline.answers import Answers, Assessment


def answers(x, mask=None):
    mask = torch.ones(1, 1, *x.shape[-2:]) if mask is None else mask
    likelihood = GaussianLikelihood(Inpainting(mask), 0.1)
    observed = deft.Observation(x[:, 0] * mask, likelihood)
    return Answers(x, (Assessment(),), observed, (-1.0, 1.0))


def test_pixels_are_whole_squares_of_the_screen():
    x = torch.linspace(-1, 1, 16).reshape(1, 1, 1, 4, 4).repeat(1, 2, 1, 1, 1)
    found = pictures(answers(x))
    assert found.mean.shape == (384, 384, 3)
    levels = np.round(127.5 * (x[0, 0, 0].numpy() + 1))
    np.testing.assert_array_equal(found.mean[48::96, 48::96, 0], levels)
    np.testing.assert_array_equal(found.mean[0:96, 0:96], np.zeros((96, 96, 3)))
    assert len(found.samples) == 2
    assert found.std.shape[0] > found.small_mean.shape[0]  # its scale is below it


def test_what_is_not_observed_is_hatched():
    mask = torch.ones(1, 1, 4, 4)
    mask[..., 2:] = 0
    x = torch.full((1, 1, 1, 4, 4), 1.0)
    one = answers(x, mask)
    shown = measurement(one.observation, one.samples[:1, 0], range_of(one))
    assert (shown[:, :2] == 255).all()
    assert (shown[:, 2:] < 200).all()


def test_larger_signals_are_not_shrunk():
    x = torch.zeros(1, 1, 3, 400, 500)
    assert pictures(answers(x)).mean.shape == (400, 500, 3)
