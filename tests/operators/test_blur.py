import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from deft.noise import Noise
from deft.operators import Blur, CircularBlur, ReflectBlur, gaussian_kernel, motion_kernel
from tests.contracts.operator import LinearOperatorContract, SpectralOperatorContract
from tests.refusal import refused


def kernels(shape, seeds):
    """Random kernels with most of their weight at the centre, so that every frequency survives
    and the pseudo-inverse is well-posed.
    """
    rough = 0.5 * Noise([100 + seed for seed in seeds]).uniform(0, shape)
    rough = rough / rough.flatten(1).sum(1).reshape(-1, *(1,) * len(shape)).clamp(min=1e-9)
    centre = torch.zeros(shape)
    centre[tuple(n // 2 for n in shape)] = 1
    return 0.3 * rough + 0.7 * centre


class TestCircularBlur(SpectralOperatorContract):
    event_shape = (2, 5, 6)

    def make(self, seeds):
        return CircularBlur(kernels((3, 4), seeds))


class TestCircularBlurOfALine(SpectralOperatorContract):
    event_shape = (2, 8)

    def make(self, seeds):
        return CircularBlur(kernels((3,), seeds))


class TestALargeCircularKernel(SpectralOperatorContract):
    """Larger than the signal: it wraps around."""

    event_shape = (1, 4, 5)

    def make(self, seeds):
        return CircularBlur(kernels((9, 3), seeds))


class TestALossyCircularKernel(SpectralOperatorContract):
    """The mean of the whole signal: every frequency but one is lost."""

    event_shape = (1, 4, 4)

    def make(self, seeds):
        return CircularBlur(torch.full((1, 4, 4), 1 / 16))


class TestReflectBlur(LinearOperatorContract):
    event_shape = (2, 5, 6)
    solve_tolerance = 1e-6  # conjugate gradients stop at a relative residual of 1.5e-8

    def make(self, seeds):
        return ReflectBlur(kernels((3, 4), seeds))


class TestReflectBlurOfALine(TestReflectBlur):
    event_shape = (2, 8)

    def make(self, seeds):
        return ReflectBlur(kernels((3,), seeds))


class TestALargeReflectKernel(TestReflectBlur):
    """Larger than the signal: it is mirrored more than once."""

    event_shape = (1, 3, 4)

    def make(self, seeds):
        return ReflectBlur(kernels((9, 5), seeds))


@pytest.mark.parametrize(("border", "mode"), [("circular", "grid-wrap"), ("reflect", "reflect")])
@pytest.mark.parametrize("size", [(3, 5), (4, 3), (7, 7)])
def test_it_is_scipys_convolution(border, mode, size):
    x, kernel = torch.randn(8, 9, dtype=torch.float64), torch.rand(*size, dtype=torch.float64)
    expected = ndimage.convolve(x.numpy(), kernel.numpy(), mode=mode)
    blurred = Blur(kernel[None], border)(x[None, None])[0, 0]
    torch.testing.assert_close(blurred, torch.from_numpy(expected), atol=1e-10, rtol=1e-10)


@given(
    size=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    kernel=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    border=st.sampled_from(["circular", "reflect"]),
    seed=st.integers(0, 1000),
)
@settings(max_examples=40)
def test_any_size(size, kernel, border, seed):
    noise = Noise([seed, seed + 1], dtype=torch.float64)
    operator = Blur(noise.uniform(0, kernel), border)
    x, y = noise.normal(1, (2, *size)), noise.normal(2, (2, *size))
    torch.testing.assert_close(
        (operator(x) * y).flatten(1).sum(1), (x * operator.adjoint(y)).flatten(1).sum(1)
    )
    r2, s2 = (
        torch.tensor([1.0, 0.3], dtype=torch.float64),
        torch.tensor([0.5, 2.0], dtype=torch.float64),
    )
    u = operator.solve(y, r2, s2)
    again = r2[:, None, None, None] * operator(operator.adjoint(u)) + s2[:, None, None, None] * u
    torch.testing.assert_close(again, y, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("border", ["circular", "reflect"])
def test_the_lift_does_not_explode(border):
    """The pseudo-inverse of a Gaussian blur of standard deviation 2 multiplies noise by more
    than 1e3; the lift by at most 1 / (2 * 0.1).
    """
    operator = Blur(gaussian_kernel(9, 2.0), border)
    noise = torch.randn(2, 1, 16, 16)
    assert operator.lift(noise).norm() <= 5 * noise.norm()
    smooth = Blur(gaussian_kernel(15, 4.0), border)(noise)
    assert (operator.lift(operator(smooth)) - smooth).std() < 0.3 * smooth.std()


def test_a_symmetric_kernel_takes_one_iteration(monkeypatch):
    calls = []
    operator = ReflectBlur(gaussian_kernel(7, 1.5, axes=2).double())
    adjoint = ReflectBlur.adjoint
    monkeypatch.setattr(ReflectBlur, "adjoint", lambda self, y: calls.append(1) or adjoint(self, y))
    operator.solve(
        torch.randn(2, 1, 12, 10, dtype=torch.float64), torch.ones(1), torch.full((1,), 1e-4)
    )
    assert len(calls) == 1


def test_moving_or_taking_changes_the_transfer():
    """The Fourier transform that is kept belongs to the kernel at hand."""
    operator = CircularBlur(motion_kernel(5, Noise([0, 1])))
    x = torch.randn(2, 1, 8, 8)
    y = operator(x)
    torch.testing.assert_close(operator.take([1])(x[1:]), y[1:])
    torch.testing.assert_close(operator.double()(x.double()).float(), y)
    assert operator(torch.randn(2, 1, 6, 8).double()).shape == (2, 1, 6, 8)


def test_gradients_after_inference():
    operator, x = CircularBlur(gaussian_kernel(3, 1.0)), torch.randn(1, 1, 6, 6)
    with torch.inference_mode():
        operator(x)
    x.requires_grad_()
    assert torch.autograd.grad(operator(x).square().sum(), x)[0].isfinite().all()


def test_errors():
    refused(
        lambda: Blur(torch.ones(1, 3, 3), "circulr"),
        "circulr",
        "circular, reflect",
        "perhaps circular",
    )
    refused(
        lambda: CircularBlur(torch.ones(1, 1, 3, 3)),
        "the shape (1, 1, 3, 3)",
        "(batch or 1, height, width)",
        "leave their axis out",
    )
    line = CircularBlur(torch.full((1, 3), 1 / 3))
    refused(lambda: line(torch.ones(1, 1, 4, 4)), "the shape (1, 1, 4, 4)", "(batch, any, any)")
    refused(
        lambda: Blur(torch.zeros(1, 3, 3)), "a kernel of zeros", "summing to 1", "weighted mean"
    )
    refused(lambda: Blur(-torch.ones(1, 3, 3) / 9), "a kernel whose sum is -1", "summing to 1")
    refused(
        lambda: Blur(torch.full((1, 3, 3), torch.nan)),
        "9 of 9 entries that are NaN or infinite",
        "finite numbers",
    )
    refused(lambda: Blur(torch.ones(1, 0, 3)), "the shape (1, 0, 3)", "(batch or 1, height, width)")
    refused(lambda: Blur(torch.ones(1, 3, 3, dtype=torch.complex64)), "torch.complex64", "real")


def test_kernels_that_change_the_brightness_are_said():
    with pytest.warns(UserWarning, match="sums to 9"):
        Blur(torch.ones(1, 3, 3))
    with pytest.warns(UserWarning, match=r"kernel, \(5, 5\), is larger than the signal, \(4, 4\)"):
        Blur(torch.full((1, 5, 5), 1 / 25))(torch.ones(1, 1, 4, 4))


def test_reflect_repeats_the_edge():
    """scipy's "reflect"; torch's and deepinv's leaves the edge out."""
    x, kernel = torch.tensor([[[1.0, 2.0, 4.0]]]), torch.tensor([[1.0, 0.0, 0.0]])
    torch.testing.assert_close(Blur(kernel, "reflect")(x)[0, 0, -1], x[0, 0, -1])
