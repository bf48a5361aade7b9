import warnings

import numpy as np
import pytest
import torch

from deft.errors import InvalidInput
from deft.operators import MRI, Identity, MultiCoilMRI
from deft.pipeline.k_space import Scan, has_frequencies, measured, noise_of
from deft.priors.callable import CallablePrior
from deft.problems import Denoising
from deft.schedules import VPLinear
from tests.pipeline.scans import AXES, COILS, LINES, SIZE, TRANSFORMS, image, k_space, maps
from tests.refusal import refused

ONE, SEVERAL = Scan(False, (SIZE, SIZE)), Scan(True, (SIZE, SIZE), "--")


def prior(channels=2, value_range=(-1.0, 1.0)):
    return CallablePrior(
        lambda x_t, t: 0 * x_t, VPLinear(), (channels, SIZE, SIZE), 0.5, value_range=value_range
    )


def zero_filled(k):
    """The images of the coils, combined; the sum of |S_c|^2 is 1."""
    z = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(k, axes=AXES), norm="ortho"), axes=AXES)
    return (maps().conj() * z).sum(0)


def left_by_least_squares(k):
    """The share of the power of k-space on its lines that no image explains, by numpy."""
    basis = np.eye(SIZE * SIZE).reshape(-1, 1, SIZE, SIZE)
    a = TRANSFORMS["centred"](maps() * basis)[..., LINES].reshape(SIZE * SIZE, -1).T
    y = k[..., LINES].ravel()
    x = np.linalg.lstsq(a, y, rcond=None)[0]
    return np.linalg.norm(y - a @ x) ** 2 / np.linalg.norm(y) ** 2


def operator(k=None, s=None):
    y = SEVERAL.frequencies(k_space() if k is None else k)
    return MultiCoilMRI(measured(y), SEVERAL.sensitivities(maps() if s is None else s, y)), y


def test_complex_numbers_and_two_channels_are_the_same():
    k = k_space()
    y = SEVERAL.frequencies(k)
    assert y.shape == (1, 2, COILS, SIZE, SIZE)
    parts = np.stack([k.real, k.imag])
    for same in (k[None], k.astype(np.complex128), parts, parts[None].astype(np.float64)):
        assert torch.equal(SEVERAL.frequencies(same), y)
    assert SEVERAL.frequencies(np.stack([k, k])).shape[0] == 2
    one = ONE.frequencies(k[0])
    assert one.shape == (1, 2, SIZE, SIZE)
    assert torch.equal(ONE.frequencies(parts[:, 0]), one)
    assert torch.equal(SEVERAL.sensitivities(k, y), y)


def test_they_are_those_of_the_operator():
    """numpy's k-space, read, is the operator's of the image."""
    a, y = operator()
    z = image()
    x = torch.from_numpy(np.stack([z.real, z.imag]))[None]
    torch.testing.assert_close(a(x), y, atol=1e-5, rtol=1e-4)


def test_what_is_measured_is_not_zero_in_some_coil():
    k = np.zeros((2, 3, 3), np.complex64)
    k[0, 0, 1], k[1, 2, 2] = 1j, 1
    scan = Scan(True, (3, 3))
    assert measured(scan.frequencies(k))[0, 0].nonzero().tolist() == [[0, 1], [2, 2]]


def test_which_operators_and_priors():
    lines = torch.ones(1, 1, SIZE, SIZE)
    assert has_frequencies(MRI(lines))
    assert not has_frequencies(Identity())
    assert not Scan.of(MRI(lines), prior()).coils
    assert Scan.of(operator()[0], prior(), "--") == SEVERAL
    refused(
        lambda: Scan.of(MRI(lines), prior(1)),
        "callable, whose signals have the shape (1, 16, 16)",
        "real and imaginary part",
    )


@pytest.mark.parametrize(
    ("array", "given", "advice"),
    [
        (np.abs(k_space()), "float32 values of shape (6, 16, 16)", "magnitudes have lost"),
        (k_space()[0], "complex64 values of shape (16, 16)", "say the problem MRI"),
        (k_space().real.astype(int), "int64 values of shape (6, 16, 16)", "save complex numbers"),
        (0 * k_space(), "k-space that is 0 everywhere", ""),
        (k_space() * np.nan, "3072 of 3072 numbers that are NaN or infinite", ""),
        (k_space(size=32, lines=None), "32 x 32 (height x width)", "take its middle"),
        (k_space()[:, :, :8], "16 x 8 (height x width)", ""),
        (np.zeros((0, 6, 16, 16), complex), "complex128 values of shape (0, 6, 16, 16)", ""),
    ],
)
def test_k_space_that_cannot_be_meant(array, given, advice):
    error = refused(lambda: SEVERAL.frequencies(array), given, "", advice)
    assert error.what == "--measurements"


def test_axes_that_are_exchanged():
    wide = Scan(True, (8, 16))
    refused(
        lambda: wide.frequencies(np.ones((2, 16, 8), complex)), "16 x 8 (height x width)", "8 x 16",
        "swapaxes(-1, -2)",
    )  # fmt: skip
    refused(
        lambda: ONE.frequencies(np.ones((2, 6, 16, 16), complex)),
        "complex128 values of shape (2, 6, 16, 16)",
        "complex (height, width)",
        "several are for MultiCoilMRI",
    )


@pytest.mark.parametrize(
    ("array", "given"),
    [
        (maps()[:5], "5 coils"),
        (maps(8), "8 x 8 (height x width)"),
        (np.abs(maps()), "float32 values of shape (6, 16, 16)"),
        (0 * maps(), "sensitivities that are 0 everywhere"),
        (np.stack([maps()] * 3), "3 sets of sensitivities"),
        (maps() * np.inf, "3072 of 3072 numbers that are NaN or infinite"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_sensitivities_that_do_not_belong(array, given):
    y = SEVERAL.frequencies(k_space())
    assert refused(lambda: SEVERAL.sensitivities(array, y), given, "").what == "--sensitivities"


def test_sensitivities_of_a_single_coil():
    y = ONE.frequencies(k_space()[0])
    refused(lambda: ONE.sensitivities(maps(), y), "sensitivities of coils", "a single coil")


def test_units():
    assert ONE.units((-1e-5, 1e-5), prior()) == pytest.approx(1e5)
    assert ONE.units((-2.0, 2.0), prior(value_range=(-4.0, 4.0))) == 2.0
    assert ONE.units((-2.0, 2.0), prior(value_range=None)) == 0.5
    refused(lambda: ONE.units((0.0, 1.0), prior()), "[0, 1], for a prior of [-1, 1]", "[-a, a]")
    of = prior(value_range=(0.0, 1.0))
    refused(lambda: ONE.units((-1.0, 1.0), of), "[-1, 1], for a prior of [0, 1]", "[-a, a]")


def test_units_that_are_visibly_other_ones():
    a, y = operator()
    SEVERAL.check_units(y, a, prior(), 0.01)
    bright = np.quantile(np.abs(zero_filled(k_space())), 0.995)
    for factor in (1e-4, 1e4):
        error = refused(
            lambda factor=factor: SEVERAL.check_units(factor * y, a, prior(), 0.0),
            f"k-space of images with magnitudes up to {factor * bright:.2g}",
            "images in [-1, 1]",
            "--value_range [-1,1] takes them as they are",
        )
        said = float(error.advice.split("[-")[1].split(",")[0])
        SEVERAL.check_units(y * factor * SEVERAL.units((-said, said), prior()), a, prior(), 0.0)
    SEVERAL.check_units(1e-4 * y, a, prior(value_range=None), 0.0)
    SEVERAL.check_units(1e4 * y, a, prior(), 1e4)  # noise


@pytest.mark.parametrize("fft", ["centred", None])
def test_right_readings_are_not_doubted(fft):
    a, y = operator(k_space(noise=0.02))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SEVERAL.check_reading(y, a, 0.02, fft)
        ONE.check_reading(y[:, :, 0], MRI(a.mask), 0.02, fft)


def test_another_origin_is_found():
    a, y = operator(k_space("shifted"))
    share = left_by_least_squares(k_space("shifted"))
    assert 0.5 < share < 1
    error = refused(
        lambda: SEVERAL.check_reading(y, a, 0.0, None),
        "nothing, which means k = fftshift(fft2(ifftshift(x))): the sensitivities leave "
        f"{share:.0%} of the power of k-space unexplained, and noise of sigma_y leaves 0.0%",
        "k = fftshift(fft2(x)), by which it is 0%",
        "--fft shifted",
    )
    assert error.what == "--fft"
    with pytest.warns(UserWarning, match="it looks more like k = fftshift"):
        SEVERAL.check_reading(y, a, 0.01, "centred")


@pytest.mark.parametrize("fft", ["corner", "plain"])
def test_frequencies_in_the_corners_are_found(fft):
    a, y = operator(k_space(fft))
    refused(
        lambda: SEVERAL.check_reading(y, a, 0.01, None),
        "nothing, which means k = fftshift(fft2(ifftshift(x)))",
        "strongest in the middle",
        f"--fft {fft}",
    )
    k = TRANSFORMS[fft](image())
    one = ONE.frequencies(k)
    with pytest.raises(InvalidInput, match="fft plain for k = fft2"):
        ONE.check_reading(one, MRI(measured(one)), 0.0, None)


@pytest.mark.parametrize(
    "wrong", [maps()[::-1], maps().conj(), maps()[:, ::-1], np.roll(maps(), 4, axis=-1)]
)
def test_sensitivities_of_another_scan_are_said(wrong):
    a, y = operator(k_space(noise=0.01), wrong)
    with pytest.warns(UserWarning, match="in the order of its coils, not conjugated"):
        SEVERAL.check_reading(y, a, 0.01, None)


def test_much_noise_is_not_unexplained():
    a, y = operator(k_space(noise=1.0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SEVERAL.check_reading(y, a, 1.0, None)


def test_noise():
    problem = Denoising(sigma_y=(0.1, 0.4))
    assert noise_of(problem, None) == 0.4
    assert noise_of(problem, 0.2) == 0.2
    assert noise_of(problem, torch.tensor([[0.3, torch.inf]])) == pytest.approx(0.3)
    assert noise_of(problem, torch.tensor([[torch.inf]])) == 0.0
