import numpy as np
import torch
from PIL import Image

from deft.likelihoods import GaussianLikelihood
from deft.operators import Colourisation
from tests.contracts.operator import SpectralOperatorContract
from tests.refusal import refused


class TestColourisation(SpectralOperatorContract):
    event_shape = (3, 2, 4)

    def make(self, seeds):
        return Colourisation()


class TestOtherWeights(SpectralOperatorContract):
    event_shape = (3, 3, 2)

    def make(self, seeds):
        return Colourisation((1.0, 0.0, 2.0))


def test_it_is_pillows_grey():
    pixels = np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8)
    grey = np.asarray(Image.fromarray(pixels).convert("L"), dtype=float)
    y = Colourisation()(torch.from_numpy(pixels).permute(2, 0, 1)[None].double())
    assert np.abs(y[0, 0].numpy() - grey).max() <= 0.51  # Pillow rounds


def test_grey_stays_grey():
    y = torch.rand(2, 1, 3, 4)
    for operator in (Colourisation(), Colourisation((0.5, 1.0, 1.5))):
        torch.testing.assert_close(operator(operator.lift(y)), y)
    torch.testing.assert_close(Colourisation().lift(y), y.expand(2, 3, 3, 4))


def test_the_guidance_is_that_of_the_white_gaussian():
    """x ~ N(x_hat, r^2 I) and y = w x + s eps: E[x | y] - x_hat = r^2 w (y - w x_hat) / (r^2 |w|^2
    + s^2).
    """
    w, x_hat, y = (
        torch.tensor([0.299, 0.587, 0.114]),
        torch.rand(1, 3, 1, 1),
        torch.rand(1, 1, 1, 1),
    )
    found = GaussianLikelihood(Colourisation(), 0.2).guidance(x_hat, torch.tensor([0.5]), y)
    by_hand = 0.5 * w * (y.flatten() - w @ x_hat.flatten()) / (0.25 * w @ w + 0.04)
    torch.testing.assert_close(found.flatten(), by_hand)


def test_errors():
    zero = (0.0, 0.0, 0.0)
    refused(lambda: Colourisation(zero), str(zero), "three numbers >= 0")
    refused(lambda: Colourisation((1.0, -1.0, 1.0)), -1.0, "a finite number >= 0")
    refused(
        lambda: Colourisation()(torch.ones(1, 1, 4, 4)),
        "the shape (1, 1, 4, 4)",
        "(batch, 3, any, any), pictures in colour",
    )
