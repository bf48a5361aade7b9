import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from deft.operators import SuperResolution
from tests.contracts.operator import SpectralOperatorContract
from tests.refusal import refused


class TestAverage(SpectralOperatorContract):
    event_shape = (2, 4, 6)

    def make(self, seeds):
        return SuperResolution(2, self.event_shape)


class TestBicubic(SpectralOperatorContract):
    event_shape = (1, 9, 6)

    def make(self, seeds):
        return SuperResolution(3, self.event_shape, kernel="bicubic")


class TestAverageOfALine(SpectralOperatorContract):
    event_shape = (2, 12)

    def make(self, seeds):
        return SuperResolution(4, self.event_shape)


class TestBicubicOfALine(SpectralOperatorContract):
    event_shape = (2, 8)

    def make(self, seeds):
        return SuperResolution(2, self.event_shape, kernel="bicubic")


def test_average_is_pooling():
    x = torch.randn(3, 2, 8, 12)
    operator = SuperResolution(4, (2, 8, 12))
    torch.testing.assert_close(operator(x), torch.nn.functional.avg_pool2d(x, 4))


def test_the_lift_of_averages_repeats_them():
    y = torch.randn(3, 2, 2, 3)
    repeated = y.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)
    torch.testing.assert_close(SuperResolution(4, (2, 8, 12)).lift(y), repeated)


@pytest.mark.parametrize(
    ("factor", "size"), [(2, (16, 24)), (3, (27, 21)), (4, (64, 64)), (8, (64, 32))]
)
def test_bicubic_is_pillows(factor, size):
    """Pillow's antialiased bicubic, borders included; both in single precision, hence 1e-5."""
    x = torch.rand(1, 1, *size)
    small = Image.fromarray(x[0, 0].numpy(), mode="F").resize(
        (size[1] // factor, size[0] // factor), Image.Resampling.BICUBIC
    )
    y = SuperResolution(factor, (1, *size), kernel="bicubic")(x)
    np.testing.assert_allclose(y[0, 0].numpy(), np.asarray(small), atol=1e-5)


@given(
    factor=st.integers(1, 5),
    blocks=st.lists(st.integers(1, 4), min_size=1, max_size=2),
    channels=st.integers(1, 3),
    kernel=st.sampled_from(["average", "bicubic"]),
)
@settings(max_examples=30)
def test_any_size(factor, blocks, channels, kernel):
    event_shape = (channels, *(factor * n for n in blocks))
    operator = SuperResolution(factor, event_shape, kernel=kernel)
    x = torch.randn(2, *event_shape)
    y = torch.randn(2, channels, *blocks)
    assert operator(x).shape == y.shape
    torch.testing.assert_close(
        (operator(x) * y).sum(), (x * operator.adjoint(y)).sum(), atol=1e-4, rtol=1e-4
    )
    constant = torch.full((1, *event_shape), 0.7)
    torch.testing.assert_close(operator(constant), torch.full((1, *y.shape[1:]), 0.7))
    torch.testing.assert_close(operator(operator.pseudo_inverse(y)), y, atol=1e-4, rtol=1e-4)


def test_errors():
    refused(
        lambda: SuperResolution(4, (1, 8, 10)),
        4,
        "divides the sizes of the signals, (8, 10)",
        "crop to 8 x 8, or use a factor of 2",
    )
    refused(
        lambda: SuperResolution(2, (1, 8, 8), kernel="bicubik"),
        "bicubik",
        "average, bicubic",
        "perhaps bicubic",
    )
    refused(lambda: SuperResolution(0, (1, 8, 8)), 0, "a whole number >= 1")
    refused(
        lambda: SuperResolution(16, (1, 8, 8)),
        16,
        "divides the sizes of the signals, (8, 8)",
        "use a factor of 2, 4, 8",
    )
    refused(lambda: SuperResolution(2, (1,)), (1,), "(channels, *space)")
    refused(lambda: SuperResolution(2, (1, 8, 0)), 0, "a whole number >= 1")
    refused(
        lambda: SuperResolution(2, (1, 8, 8))(torch.ones(1, 1, 16, 16)),
        "the shape (1, 1, 16, 16)",
        "(batch, any, 8, 8)",
    )
