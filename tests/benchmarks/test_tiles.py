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


def test_places_near_the_cuts_are_found():
    near = tiles.near_cuts(torch.zeros(1, 3, 128, 192))
    rows = near[:, 0].nonzero().flatten().tolist()  # tiles begin at 0, 48 and 64
    assert rows == [*range(52, 60), *range(84, 92)]
    columns = near[0].nonzero().flatten().tolist()  # and at 0, 48, 96 and 128
    assert columns == [*range(52, 60), *range(100, 108), *range(140, 148)]


def test_whole_samples_are_blended_as_tiles_apart_are():
    samples = torch.arange(4.0)[:, None, None, None].expand(4, 3, 128, 192).contiguous()
    blended = tiles.as_apart(samples)
    corners = blended[:, 0, :48, :48]
    assert torch.equal(corners, samples[:, 0, :48, :48])  # one tile alone
    assert torch.equal(blended[:, 0, :48, 64:96].mean((1, 2)), (torch.arange(4.0) + 1) % 4)
    white = torch.randn(4, 3, 128, 192, generator=torch.Generator().manual_seed(0))
    assert tiles.as_apart(white)[:, :, :48, 56].std() < 0.8  # the mean of two has 0.71
