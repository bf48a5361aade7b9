import pytest
import torch

from deft.data.phantom import shepp_logan, shepp_logan_integrals


def test_the_image():
    x = shepp_logan(64)
    assert x.shape == (64, 64)
    assert x[0, 0] == 0
    assert x.max() <= 1
    assert float(x[32, 32]) == pytest.approx(0.2)
    above, below = x[:32].sum(), x[32:].sum()
    assert above > below  # the largest of the light ellipses lies above the middle


def test_pixels_are_means_over_their_area():
    fine, coarse = shepp_logan(64, samples=4), shepp_logan(32, samples=8)
    torch.testing.assert_close(fine.reshape(32, 2, 32, 2).mean((1, 3)), coarse)


def test_the_integrals_are_sums_along_the_rays():
    x = shepp_logan(512, samples=2).double()
    at = torch.linspace(-0.9, 0.9, 7, dtype=torch.float64)
    points = torch.stack([at, torch.zeros_like(at)], -1)
    integrals = shepp_logan_integrals(
        points, torch.tensor([0.0, 1.0], dtype=torch.float64).expand(7, 2)
    )
    columns = ((at + 1) * 256).long()
    torch.testing.assert_close(integrals, x[:, columns].sum(0) * (2 / 512), atol=0.01, rtol=0.02)
