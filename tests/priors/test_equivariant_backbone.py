"""The equivariant backbone prior: the Gaussian chain before it is trained; turned with x_t; the
same design in any batch.
"""

from pathlib import Path

import pytest
import torch

import deft
from deft.errors import InvalidInput
from deft.noise import Noise
from deft.priors import zoo
from deft.priors.chain_spectrum import ChainSpectrum, modes
from deft.priors.equivariant_backbone import EquivariantBackbone
from deft.samplers.ddim import DDIM
from deft.schedules import VE
from tests.contracts.prior import PriorContract


def small(trained: bool = True, **more) -> EquivariantBackbone:
    torch.manual_seed(0)
    sizes = {"width": 16, "blocks": 2, "heads": 2, "pair": 8, "window": 2}
    made = EquivariantBackbone(20, VE(0.01, 160.0), **(sizes | more))
    if trained:
        for parameter in made.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
    return made.frozen()


class TestEquivariantBackbone(PriorContract):
    def prior(self):
        return small().double().of_length(14)


def noisy(prior, seeds, t=0.4):
    """Noise of a typical size for chains of the prior."""
    x = prior.noise(Noise(list(seeds), dtype=prior.dtype), 0)
    return 8.0 * x, torch.full((len(x),), t, dtype=prior.dtype)


def turned():
    torch.manual_seed(3)
    q, _ = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))
    return q * torch.linalg.det(q)


def test_untrained_it_is_the_gaussian_chain():
    """E[x_0 | x_t] of N(0, S) in each coordinate, by a linear solve."""
    prior = small(trained=False).double().of_length(12)
    x_t, t = noisy(prior, [0, 1])
    alpha_t, sigma_t = prior.levels(x_t, t)
    v, U = ChainSpectrum().variances(12), modes(12).mT
    S = (U * v) @ U.T
    s2 = float(sigma_t[0].flatten()) ** 2
    expected = S @ torch.linalg.solve(S + s2 * torch.eye(12, dtype=torch.float64), x_t / alpha_t)
    torch.testing.assert_close(prior.denoise(x_t, t), expected, rtol=0, atol=1e-5)


def test_what_the_network_adds_has_the_posteriors_covariance():
    """C^{1/2} C^{1/2} = (S^-1 + s^-2)^-1 on centred chains."""
    prior = small().double().of_length(12)
    x_t, t = noisy(prior, [0])
    _, colour, noise = prior.filtered(x_t, t, prior.mask_for(x_t))
    v, U = ChainSpectrum().variances(12), modes(12).mT
    c = 1 / (1 / v + 1 / float(noise) ** 2)
    torch.testing.assert_close(colour[0] @ colour[0], (U * c) @ U.T, rtol=0, atol=1e-5)


@pytest.mark.parametrize("t", [0.02, 0.5, 0.98])
def test_it_turns_with_x_t(t):
    prior, R = small().double().of_length(14), turned()
    x_t, t = noisy(prior, [0, 1], t)
    torch.testing.assert_close(
        prior.denoise(x_t @ R.T, t), prior.denoise(x_t, t) @ R.T, rtol=0, atol=1e-8
    )


def test_mirror_images_are_told_apart():
    prior, mirror = small().double().of_length(14), torch.diag(torch.tensor([1.0, 1.0, -1.0]))
    x_t, t = noisy(prior, [0])
    mirror = mirror.double()
    gap = prior.denoise(x_t @ mirror, t) - prior.denoise(x_t, t) @ mirror
    assert float(gap.abs().max()) > 1e-3


def test_the_same_design_for_the_same_seed_in_any_batch():
    prior, sampler = small(), DDIM(steps=5, eta=1.0)
    alone = sampler.run(prior.of_length(10), Noise([7]))
    together = sampler.run(prior.of_length(16, 10), Noise([4, 7]))
    torch.testing.assert_close(together[1, :10], alone[0], rtol=0, atol=1e-3)
    assert (together[1, 10:] == 0).all()


def test_designs_turn_with_their_noise():
    """The law of the samples is invariant, as noise is and as each step is equivariant."""
    prior, R = small().double().of_length(12), turned()
    x = prior.initial(Noise([3], dtype=torch.float64))
    t = torch.ones(1, dtype=torch.float64)
    for s in (0.8, 0.5, 0.2):
        a = prior.denoise(x, t)
        torch.testing.assert_close(prior.denoise(x @ R.T, t), a @ R.T, rtol=0, atol=1e-8)
        x, t = (a + x) / 2, torch.full((1,), s, dtype=torch.float64)


def test_lengths_that_it_does_not_know():
    prior = small(min_length=8)
    assert prior.of_length(8).event_shape == (8, 3)
    for length in (7, 21):
        with pytest.raises(InvalidInput, match="8 to 20"):
            prior.of_length(length)
    with pytest.raises(InvalidInput, match="min_length"):
        small(min_length=2)


def test_a_round_trip_through_a_file(tmp_path: Path):
    spectrum = ChainSpectrum(bond=3.0, helix=1.0)
    prior = small(name="mine", min_length=6, spectrum=spectrum)
    zoo.save(tmp_path / "mine.safetensors", prior, {"data": "noise"})
    same = zoo.load(tmp_path / "mine.safetensors")
    assert isinstance(same, EquivariantBackbone)
    assert same.name == "mine"
    assert same.config == prior.config
    assert same.identity() == prior.identity()
    torch.testing.assert_close(same.spectrum, prior.spectrum)
    x_t, t = noisy(prior, [0])
    torch.testing.assert_close(same.denoise(x_t, t), prior.denoise(x_t, t), rtol=0, atol=5e-3)


def test_it_is_a_public_prior():
    assert isinstance(small(), deft.Prior)
    assert small().event_axes == "cloud"
    assert 2 < small().scale < 10


def test_whitened_errors_come_back_by_the_spread():
    prior = small().double().of_length(9, 12)
    x_t, t = noisy(prior, [0, 1])
    mask = prior.mask_for(x_t)
    _, colour, _ = prior.filtered(x_t, t, mask)
    white = prior.whitened(x_t, t, mask)
    torch.testing.assert_close(colour @ white, x_t, rtol=0, atol=1e-9)


def test_half_precision_is_of_the_network_and_not_of_positions():
    prior, half = small(), small()
    half.precision = "bf16"
    x_t, t = noisy(prior.of_length(14), [0, 1], 0.1)
    mask = torch.ones(2, 14, dtype=torch.bool)
    far = 1000.0 * torch.randn(1, 1, 3)
    full, low = (p.given(mask=mask).denoise(x_t + far, t) for p in (prior, half))
    added = (full - small(trained=False).given(mask=mask).denoise(x_t, t)).abs().max()
    assert 0 < float((low - full).abs().max()) < 0.05 * float(added)


def test_an_outer_autocast_is_not_for_positions():
    """As in a training of h with precision="bf16"."""
    prior = small()
    x_t, t = noisy(prior.of_length(14), [0, 1], 0.1)
    told = prior.given(mask=torch.ones(2, 14, dtype=torch.bool))
    plain = told.denoise(x_t, t)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(told.denoise(x_t, t), plain)
