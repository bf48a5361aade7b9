import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deft.operators import MRI, MultiCoilMRI
from tests.contracts.operator import LinearOperatorContract
from tests.operators.test_mri import lines
from tests.refusal import refused


def coils(seed, count, height, width):
    generator = torch.Generator().manual_seed(seed)
    parts = [torch.randn(1, count, height, width, generator=generator) for _ in range(2)]
    return torch.complex(*parts)


class TestMultiCoilMRI(LinearOperatorContract):
    event_shape = (2, 4, 6)
    solve_tolerance = 1e-4  # conjugate gradients stop at a relative residual of 1e-6; condition 100

    def make(self, seeds):
        each = [coils(seed, 3, 4, 6) for seed in seeds]
        s = torch.cat(each) if each else torch.zeros(0, 3, 4, 6, dtype=torch.complex128)
        return MultiCoilMRI(lines(self.event_shape, seeds), s)


class TestOneSetForAll(TestMultiCoilMRI):
    event_shape = (2, 5, 4)

    def make(self, seeds):
        return MultiCoilMRI(lines(self.event_shape, seeds), coils(0, 2, 5, 4))


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 5), st.integers(1, 7), st.integers(1, 7), st.integers(0, 99))
def test_the_adjoint_is_the_transpose(count, height, width, seed):
    generator = torch.Generator().manual_seed(seed)
    mask = (torch.rand(1, 1, height, width, generator=generator) > 0.5).double()
    operator = MultiCoilMRI(mask, coils(seed, count, height, width).to(torch.complex128))
    x = torch.randn(1, 2, height, width, generator=generator, dtype=torch.float64)
    y = torch.randn(1, 2, count, height, width, generator=generator, dtype=torch.float64)
    torch.testing.assert_close((operator(x) * y).sum(), (x * operator.adjoint(y)).sum())


def test_it_is_numpys_transform_of_each_coil():
    s, rng = coils(0, 3, 6, 5).to(torch.complex128), np.random.default_rng(0)
    z = rng.standard_normal((2, 6, 5)) + 1j * rng.standard_normal((2, 6, 5))
    seen = np.fft.ifftshift(s.numpy() * z[:, None], axes=(2, 3))
    k = np.fft.fftshift(np.fft.fft2(seen, norm="ortho"), axes=(2, 3))
    x = torch.from_numpy(np.stack([z.real, z.imag], axis=1))
    y = MultiCoilMRI(torch.ones(1, 1, 6, 5, dtype=torch.float64), s)(x)
    np.testing.assert_allclose(y[:, 0] + 1j * y[:, 1], k, atol=1e-12)


def test_one_coil_that_sees_all_is_the_single_coil():
    mask, x = lines((2, 8, 8), [1]), torch.randn(1, 2, 8, 8)
    one = MultiCoilMRI(mask, torch.ones(1, 1, 8, 8, dtype=torch.complex64))
    torch.testing.assert_close(one(x)[:, :, 0], MRI(mask)(x))
    torch.testing.assert_close(one.lift(one(x)), MRI(mask).lift(MRI(mask)(x)))
    assert one.count(one(x)).tolist() == MRI(mask).count(x).tolist()


def test_coils_make_up_for_missing_lines():
    """Every other line and four coils: the pseudo-inverse is the image (parallel imaging)."""
    mask = torch.zeros(1, 1, 8, 8, dtype=torch.float64)
    mask[..., ::2, :] = 1
    x = torch.randn(2, 2, 8, 8, dtype=torch.float64)
    operator = MultiCoilMRI(mask, coils(3, 4, 8, 8).to(torch.complex128))
    torch.testing.assert_close(operator.pseudo_inverse(operator(x)), x, atol=1e-4, rtol=1e-4)


def test_every_frequency_gives_the_image_back():
    operator, x = MultiCoilMRI(torch.ones(1, 1, 6, 6), coils(2, 3, 6, 6)), torch.randn(2, 2, 6, 6)
    torch.testing.assert_close(operator.lift(operator(x)), x, atol=1e-5, rtol=1e-4)


def test_a_shifted_measurement_is_doubted():
    x = torch.zeros(1, 2, 16, 16)
    x[:, :, 4:11, 5:11] = 1
    s = torch.ones(1, 2, 16, 16, dtype=torch.complex64)
    operator = MultiCoilMRI(torch.ones(1, 1, 16, 16), s)
    assert operator.doubts(operator(x)) == []
    (doubt,) = operator.doubts(torch.fft.ifftshift(operator(x), dim=(-2, -1)))
    assert "fftshift" in doubt


def test_errors():
    mask = torch.ones(1, 1, 4, 4)
    refused(
        lambda: MultiCoilMRI(mask, torch.ones(1, 3, 4, 4)),
        "the shape (1, 3, 4, 4)",
        "(batch or 1, 2, coils, height, width)",
    )
    refused(
        lambda: MultiCoilMRI(mask, torch.ones(1, 2, 3, 4, 5)),
        "1 of 4 x 5 (height x width)",
        "1 or 1 of 4 x 4",
    )
    refused(
        lambda: MultiCoilMRI(mask, torch.zeros(1, 2, 3, 4, 4)),
        "coils that see nothing",
        "complex, (batch or 1, coils",
    )
