import numpy as np
import torch

from deft.noise import Noise
from deft.operators import MRI
from deft.problems import CartesianMasks
from tests.contracts.operator import SpectralOperatorContract
from tests.refusal import refused


def lines(event_shape, seeds):
    like = torch.empty(len(seeds), *event_shape)
    return CartesianMasks(2, centre=0.3).draw(like, Noise([100 + seed for seed in seeds]))


class TestMRI(SpectralOperatorContract):
    event_shape = (2, 4, 6)

    def make(self, seeds):
        return MRI(lines(self.event_shape, seeds))


class TestOddSizes(TestMRI):
    event_shape = (2, 5, 7)


class TestOneMaskForAll(SpectralOperatorContract):
    event_shape = (2, 4, 4)

    def make(self, seeds):
        return MRI(lines(self.event_shape, [0]))


def test_it_is_numpys_transform():
    z = np.random.default_rng(0).standard_normal((2, 6, 5)) + 1j * np.random.default_rng(
        1
    ).standard_normal((2, 6, 5))
    k = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(z, axes=(1, 2)), norm="ortho"), axes=(1, 2))
    x = torch.from_numpy(np.stack([z.real, z.imag], axis=1))
    y = MRI(torch.ones(1, 1, 6, 5))(x)
    np.testing.assert_allclose(y[:, 0] + 1j * y[:, 1], k, atol=1e-12)


def test_a_constant_is_the_frequency_zero():
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., 4, 4] = 1
    x = torch.ones(1, 2, 8, 8)
    torch.testing.assert_close(MRI(mask).lift(MRI(mask)(x)), x)


def test_every_frequency_gives_the_image_back():
    x, operator = torch.randn(2, 2, 8, 6), MRI(torch.ones(1, 1, 8, 6, dtype=torch.bool))
    torch.testing.assert_close(operator.lift(operator(x)), x)
    assert operator.count(x).tolist() == [96.0, 96.0]


def test_what_is_missing_says_nothing():
    operator, y = MRI(lines((2, 4, 8), [3])), torch.ones(2, 2, 4, 8)
    assert operator.count(y).tolist() == [32.0, 32.0]
    assert torch.equal(operator.coverage(y), torch.full((2, 1, 4, 8), 0.5))


def test_errors():
    refused(lambda: MRI(torch.ones(4, 4)), "the shape (4, 4)", "(batch or 1, 1, height, width)")
    refused(
        lambda: MRI(0.5 * torch.ones(1, 1, 4, 4)),
        "values between 0.5 and 0.5",
        "1 where a frequency is measured",
    )
    operator = MRI(torch.ones(1, 1, 4, 4))
    refused(
        lambda: operator(torch.ones(1, 1, 4, 4)),
        "the shape (1, 1, 4, 4)",
        "(batch, 2, 4, 4), complex images as two channels",
    )
    refused(lambda: operator(torch.ones(1, 2, 4, 5)), "the shape (1, 2, 4, 5)", "(batch, 2, 4, 4)")
    for shape in ((1, 3, 4, 4), (1, 2, 4, 1), (1, 1, 4, 4), (2, 4, 4)):
        refused(
            lambda shape=shape: operator.lift(torch.ones(shape)),
            f"the shape {shape}",
            "(batch, 2, 4, 4), frequencies",
        )
    complex_ = torch.ones(1, 4, 4, dtype=torch.complex64)
    refused(
        lambda: operator.lift(complex_),
        "torch.complex64",
        "two channels, real and imaginary",
        "torch.view_as_real",
    )
    two = MRI(torch.ones(2, 1, 4, 4))
    refused(lambda: two.lift(torch.ones(1, 2, 4, 4)), "a batch of 1", "one of 2")
    refused(lambda: two(torch.ones(3, 2, 4, 4)), "a batch of 3", "one of 2", "take(index)")


def test_a_shifted_measurement_is_doubted():
    x = torch.zeros(2, 2, 16, 16)
    x[:, :, 4:11, 5:11] = 1  # of an odd height: no frequency of it is exactly 0
    operator, full = MRI(lines((2, 16, 16), [3])), MRI(torch.ones(1, 1, 16, 16))
    assert operator.doubts(operator(x)) == operator.doubts(x[:0]) == []
    assert full.doubts(torch.randn(2, 2, 16, 16)) == []
    for each in (operator, full):
        (doubt, *_) = each.doubts(torch.fft.ifftshift(full(x), dim=(-2, -1)))
        assert "2 of 2" in doubt
        assert "fftshift" in doubt
    other = MRI(1 - operator.mask)
    assert "do not belong together" in other.doubts(operator(x))[-1]
