"""Chains of several lengths: masks, noise where residues are, one design at any padding."""

import pytest
import torch

import deft
from deft.errors import InvalidInput
from deft.noise import Noise
from deft.priors.backbone import BackbonePrior
from deft.samplers.ddim import DDIM
from tests.contracts.prior import PriorContract


class White(BackbonePrior):
    """N(0, s^2 P): the simplest chain, and exact."""

    def __init__(self, max_length=12, *, centred=True, padded=False):
        super().__init__(max_length)
        self.schedule, self.scale = deft.VPCosine(), 3.0
        self.centred, self.padded = centred, padded
        self.register_buffer("weight", torch.ones(1, dtype=torch.float64))

    def estimate(self, x_t, t, mask):
        alpha_t, sigma_t = self.levels(x_t, t)
        assert mask.dtype == torch.bool
        assert mask.shape == x_t.shape[:2]
        noise_of_padding = 7.0 * (~mask)[..., None]  # which must not come out
        gain = alpha_t * self.scale**2 / (alpha_t**2 * self.scale**2 + sigma_t**2)
        return gain * x_t + noise_of_padding


class TestWhite(PriorContract):
    def prior(self):
        return White().of_length(12)


class TestPadded(PriorContract):
    def prior(self):
        return White(centred=False, padded=True).of_length(9)


def draws(prior, n=2, seeds=range(2)):
    return prior.noise(Noise(list(seeds)[:n], dtype=torch.float64), 3)


def test_noise_is_where_residues_are_and_centred():
    prior = White().of_length(5, 9)
    z = draws(prior)
    assert prior.event_shape == (9, 3)
    assert z.shape == (2, 9, 3)
    assert (z[0, 5:] == 0).all()
    assert (z[0, :5] != 0).all()
    assert (z[1] != 0).all()
    torch.testing.assert_close(z.sum(1), torch.zeros(2, 3, dtype=torch.float64))


def test_several_draws_at_once_are_masked_and_centred_each():
    prior = White().of_length(5, 9)
    z = prior.noise(Noise([1, 2], dtype=torch.float64), 0, 4)
    assert z.shape == (2, 4, 9, 3)
    assert (z[0, :, 5:] == 0).all()
    torch.testing.assert_close(z.sum(2), torch.zeros(2, 4, 3, dtype=torch.float64))


def test_a_prior_that_is_not_centred_keeps_its_noise():
    prior, noise = White(centred=False).of_length(7), Noise([4], dtype=torch.float64)
    torch.testing.assert_close(prior.noise(noise, 1), noise.normal(1, (12, 3))[:, :7])


@pytest.mark.parametrize("centred", [True, False])
def test_noise_does_not_depend_on_padding_or_batch(centred):
    prior = White(centred=centred)
    alone = draws(prior.of_length(6), 1)
    together = draws(prior.of_length(6, 11))
    full = torch.arange(12) < 6
    kept = draws(White(centred=centred, padded=True).given(mask=full), 1)
    assert kept.shape == (1, 12, 3)
    torch.testing.assert_close(together[0, :6], alone[0])
    torch.testing.assert_close(kept[0, :6], alone[0])


@pytest.mark.parametrize("centred", [True, False])
def test_a_design_does_not_depend_on_padding_or_batch(centred):
    prior, sampler = White(centred=centred), DDIM(steps=5, eta=1.0)
    seeds = [11, 12]
    together = sampler(prior.of_length(6, 11), seed=seeds)
    alone = sampler(prior.of_length(6), seed=seeds[:1])
    padded = sampler(White(centred=centred, padded=True).of_length(6), seed=seeds[:1])
    torch.testing.assert_close(together[0, 0, :6], alone[0, 0])
    torch.testing.assert_close(padded[0, 0, :6], alone[0, 0])
    assert (together[0, 0, 6:] == 0).all()
    assert (padded[0, 0, 6:] == 0).all()


def test_the_estimate_is_zero_without_a_residue_whatever_stands_there():
    prior = White().of_length(5, 9)
    x_t = torch.randn(2, 9, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    t = torch.full((2,), 0.4)
    estimate = prior.denoise(x_t, t)
    moved = x_t.clone()
    moved[0, 5:] += 100.0
    torch.testing.assert_close(prior.denoise(moved, t), estimate)
    assert (estimate[0, 5:] == 0).all()
    torch.testing.assert_close(estimate.sum(1), torch.zeros(2, 3, dtype=torch.float64))
    torch.testing.assert_close(prior.denoise(x_t + 5.0, t), estimate)  # wherever its centre is


def test_dimensions_follow_the_mask():
    assert White().dimensions.tolist() == [33]
    assert White().of_length(5, 9).dimensions.tolist() == [12, 24]
    assert White(centred=False).of_length(5, 9).dimensions.tolist() == [15, 27]


def test_masks_that_serve_all_each_and_some():
    prior = White()
    assert prior.mask.tolist() == [[True] * 12]
    assert prior.lengths.tolist() == [12]
    one = prior.given(mask=torch.arange(8) < 5)
    assert one.num_observations == 1
    assert one.event_shape == (8, 3)
    two = prior.of_length(5, 9)
    assert two.num_observations == 2
    assert two.take([1]).lengths.tolist() == [9]
    assert two.of_length(4).event_shape == (4, 3)
    assert prior.event_shape == (12, 3)
    assert two.event_axes == "cloud"


def test_a_padded_network_sees_its_whole_length():
    assert White(padded=True).of_length(5, 9).event_shape == (12, 3)


def test_the_identity_is_that_of_all_lengths():
    assert White().of_length(5).identity() == White().identity()


def test_a_start_has_the_spread_of_the_marginal():
    prior = White().of_length(6)
    x = prior.initial(Noise(range(4000), dtype=torch.float64))
    one = torch.ones(1, dtype=torch.float64)
    alpha, sigma = prior.schedule.alpha(one), prior.schedule.sigma(one)
    total = (x**2).sum((1, 2)).mean() / prior.dimensions[0]
    assert total.item() == pytest.approx((alpha**2 * 9 + sigma**2).item(), rel=0.03)  # 4 s.e.


@pytest.mark.parametrize(
    ("mask", "given", "expected"),
    [
        (torch.tensor([1, 1, 0]), "int64", "booleans"),
        (torch.ones(3), "float32", "booleans"),
        (torch.ones(1, 2, 3, dtype=torch.bool), "(1, 2, 3)", "booleans"),
        (torch.ones(0, dtype=torch.bool), "(0,)", "booleans"),
        (torch.tensor([True, True, False, True]), "place 2", "without gaps"),
        (torch.tensor([[True, True, True], [False, True, True]]), "chain 1", "without gaps"),
        (torch.ones(13, dtype=torch.bool), "13 residues", "2 to 12"),
        (torch.tensor([True, False]), "1 residues", "2 to 12"),
        (torch.zeros(4, dtype=torch.bool), "0 residues", "2 to 12"),
    ],
)
def test_masks_that_are_refused(mask, given, expected):
    with pytest.raises(InvalidInput) as error:
        White().given(mask=mask)
    assert error.value.what == "mask"
    assert given in error.value.given
    assert expected in error.value.expected


@pytest.mark.parametrize("lengths", [(), (13,), (5, 1), (0,), (True,)])
def test_lengths_that_are_refused(lengths):
    with pytest.raises(InvalidInput, match="length"):
        White().of_length(*lengths)


def test_chains_of_another_number_of_places_are_refused():
    with pytest.raises(InvalidInput) as error:
        White().of_length(5).denoise(torch.zeros(1, 6, 3), torch.full((1,), 0.5))
    assert "(6, 3)" in error.value.given
    assert "(5, 3)" in error.value.expected


@pytest.mark.parametrize("max_length", [1, 0, -3, 1 << 20])
def test_a_longest_length_that_is_refused(max_length):
    with pytest.raises(InvalidInput, match="max_length"):
        White(max_length)
