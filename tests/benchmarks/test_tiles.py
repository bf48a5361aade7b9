"""How seams are found: a picture with some, and one without."""

import tiles
import torch


def smooth(seed):
    noise = torch.randn(4, 3, 256, 384, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.avg_pool2d(noise, 5, stride=1, padding=2)


def test_a_step_at_the_borders_of_tiles_is_found():
    seam = torch.zeros(256, 384)
    for start in range(48, 384, 48):
        seam[:, start:] += 0.05
    found = tiles.seams(tiles.gradient_energy(smooth(0) + seam))
    assert found["begin"] == 1
    assert found["middle"] < 1


def test_blurred_bands_are_found():
    x = smooth(1)
    for start in range(48, 384, 48):
        x[..., start : start + 16] *= 0.7
    assert tiles.seams(tiles.gradient_energy(x))["middle"] < 0.4  # 15 of 47 offsets lie in a band


def test_a_picture_of_one_kind_shows_none():
    energy = tiles.gradient_energy(smooth(2))
    torch.testing.assert_close(energy.mean(1), torch.ones(4))
    assert energy.min() > 0.9
    assert energy.max() < 1.1
