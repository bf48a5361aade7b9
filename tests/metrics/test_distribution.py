import math

import pytest
import torch

from deft.errors import InvalidInput
from deft.metrics import energy_distance, mmd, patch_distance, sliced_wasserstein
from deft.metrics.distribution import laplacian_pyramid, patch_distance_leaving_out


def normal(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def images(seed, n=24, channels=1, size=32):
    smooth = torch.nn.functional.interpolate(
        normal(seed, n, channels, size // 4, size // 4), size=(size, size), mode="bilinear"
    )
    return smooth + 0.3 * normal(seed + 1, n, channels, size, size)


def test_sliced_wasserstein_of_gaussians():
    # In d dimensions, N(m, I) and N(0, r^2 I): SW_2^2 = |m|^2 / d + (r - 1)^2.
    d, n = 6, 4000
    shift = torch.zeros(d)
    shift[0] = 3.0
    x, y = normal(0, n, d) + shift, 2 * normal(1, n, d)
    expected = math.sqrt(9 / d + 1)
    assert sliced_wasserstein(x, y, projections=1000) == pytest.approx(
        expected, rel=0.03
    )  # 2 % from directions, 1 % from draws
    # Order 1, equal spreads: E |u m| = 3 E |u_1|, with E |u_1| = Gamma(d/2) / (sqrt(pi)
    # Gamma((d+1)/2)).
    expected = 3 * math.gamma(d / 2) / (math.sqrt(math.pi) * math.gamma((d + 1) / 2))
    assert sliced_wasserstein(x, normal(1, n, d), projections=1000, order=1) == pytest.approx(
        expected, rel=0.04
    )


def test_sliced_wasserstein_of_equal_sets_in_another_order_is_zero():
    x = normal(0, 50, 3, 4)
    assert sliced_wasserstein(x, x.flip(0)) == pytest.approx(0, abs=1e-6)
    with pytest.raises(InvalidInput, match="equally large"):
        sliced_wasserstein(x, x[:10])


@pytest.mark.parametrize("shape", [(2, 1, 64, 48), (2, 3, 33, 40), (1, 2, 70)])
def test_the_bands_of_a_pyramid_build_the_image(shape):
    from deft.metrics.distribution import _upsample

    x = normal(0, *shape)
    bands = laplacian_pyramid(x)
    assert min(bands[-1].shape[2:]) >= 16
    rebuilt = bands[-1]
    for band in reversed(bands[:-1]):
        rebuilt = band + _upsample(rebuilt, band)
    assert torch.allclose(rebuilt, x, atol=1e-5)
    flat = torch.ones(shape)
    assert laplacian_pyramid(flat)[-1].allclose(torch.ones(()))


@pytest.mark.parametrize(("size", "levels"), [(16, 1), (32, 2), (64, 3)])
def test_levels(size, levels):
    x = images(0, n=4, size=size)
    assert patch_distance(x, x) == [0.0] * levels


def test_patch_distance_grows_with_blur():
    reference, x = images(0), images(5)
    distances = [sum(patch_distance(x, reference))]
    for _ in range(3):
        x = torch.nn.functional.avg_pool2d(x, 3, 1, 1)
        distances.append(sum(patch_distance(x, reference)))
    assert distances == sorted(distances)
    assert distances[1] > 2 * distances[0]


def test_patch_distance_without_a_group_is_that_of_the_rest():
    x, reference = images(0, n=6, channels=3), images(3, n=6, channels=3)
    whole, without = patch_distance_leaving_out(x, reference, [[5]], patches=16, projections=32)
    assert whole == patch_distance(x, reference, patches=16, projections=32)
    # The scaling is that of the whole reference, hence near, not equal.
    assert without == pytest.approx(
        patch_distance(x[:5], reference[:5], patches=16, projections=32), rel=0.5
    )


def test_patch_distance_of_signals_and_bad_input():
    assert len(patch_distance(normal(0, 3, 2, 40), normal(1, 3, 2, 40))) == 2
    with pytest.raises(InvalidInput, match="7 places"):
        patch_distance(normal(0, 3, 1, 6, 6), normal(0, 3, 1, 6, 6))
    with pytest.raises(InvalidInput, match="equally large"):
        patch_distance(images(0, n=3), images(0, n=4))


def test_energy_distance_and_mmd():
    x, y, far = normal(0, 400, 2), normal(1, 300, 2), normal(2, 300, 2) + 2
    assert abs(energy_distance(x, y)) < 0.05
    assert abs(mmd(x, y)) < 0.01
    # One dimension, point masses at 0 and 1: 2 * 1 - 0 - 0, and 2 - 2 exp(-1/2).
    zeros, ones = torch.zeros(5, 1), torch.ones(5, 1)
    assert energy_distance(zeros, ones) == pytest.approx(2)
    assert mmd(zeros, ones, bandwidth=1.0) == pytest.approx(2 - 2 * math.exp(-0.5))
    assert energy_distance(x, far) > 1
    assert mmd(x, far) > 0.2
    with pytest.raises(InvalidInput, match="bandwidth"):
        mmd(x, y, bandwidth=0.0)
