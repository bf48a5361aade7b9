import numpy as np
import pytest
import torch

from deft.pipeline.fourier import FORMULAS, OTHER_ORIGIN, centred, centred_mask, uncentred
from tests.pipeline.scans import TRANSFORMS


def parts(z):
    return torch.from_numpy(np.stack([z.real, z.imag], axis=1))


@pytest.mark.parametrize("fft", FORMULAS)
@pytest.mark.parametrize("size", [(4, 6), (5, 4), (1, 7)])
def test_every_convention_becomes_the_centred_one_and_back(fft, size):
    rng = np.random.default_rng(0)
    z = rng.standard_normal((2, 3, *size)) + 1j * rng.standard_normal((2, 3, *size))
    found = centred(parts(TRANSFORMS[fft](z)), fft)
    torch.testing.assert_close(found, parts(TRANSFORMS["centred"](z)))
    torch.testing.assert_close(uncentred(found, fft), parts(TRANSFORMS[fft](z)))


@pytest.mark.parametrize("fft", FORMULAS)
def test_the_formulas_are_what_is_done(fft):
    z = np.random.default_rng(1).standard_normal((5, 6)) + 0j
    names = {"x": z, "fft2": lambda a: np.fft.fft2(a, norm="ortho")}
    names |= {"fftshift": np.fft.fftshift, "ifftshift": np.fft.ifftshift}
    np.testing.assert_allclose(eval(FORMULAS[fft], names), TRANSFORMS[fft](z))


def test_a_mask_goes_with_its_frequencies():
    """The frequency 0 is the first in the corner, and n // 2 in the middle."""
    mask = torch.zeros(1, 1, 4, 5)
    mask[..., 0, 0] = 1
    for fft in ("corner", "plain"):
        assert centred_mask(mask, fft)[0, 0].nonzero().tolist() == [[2, 2]]
    for fft in ("centred", "shifted", None):
        assert torch.equal(centred_mask(mask, fft), mask)


def test_the_other_origin_keeps_the_place_of_the_frequencies():
    for one, other in OTHER_ORIGIN.items():
        assert OTHER_ORIGIN[other] == one
        assert (one in ("corner", "plain")) == (other in ("corner", "plain"))
