"""Chains of several lengths as training data: padding, windows, orientation, and that training
tells the prior of them.
"""

import math

import pytest
import torch
from torch import nn

import deft
from deft.errors import InvalidInput
from deft.htransforms.base import HTransform
from deft.noise import Noise
from deft.priors.backbone import BackbonePrior
from deft.problems import MotifScaffolding
from deft.training.backbones import Backbones
from deft.training.bank import Bank
from deft.training.denoising import DenoisingScoreMatching
from deft.training.loop import train
from deft.training.validated import validated
from deft.types import expand
from tests.refusal import refused


class White(BackbonePrior):
    """N(0, s^2 I) of at most 20 residues."""

    min_length = 4

    def __init__(self, centred=False, padded=False):
        super().__init__(20)
        self.schedule, self.scale = deft.VPCosine(), 3.0
        self.centred, self.padded = centred, padded
        self.register_buffer("weight", torch.ones(1))

    def estimate(self, x_t, t, mask):
        alpha_t, sigma_t = self.levels(x_t, t)
        return alpha_t * self.scale**2 / (alpha_t**2 * self.scale**2 + sigma_t**2) * x_t


class Gain(HTransform):
    """shift = w r_t^2 g: exact for a white Gaussian and a motif in a fixed frame where w = 1."""

    def __init__(self, w=0.0):
        super().__init__()
        self.w, self.config = nn.Parameter(torch.tensor(w)), {"w": w}

    def shift(self, denoised, observation):
        r_t = denoised.spread(3.0).flatten()
        guidance = observation.likelihood.guidance(denoised.x_0_hat, r_t, observation.y)
        return self.w * expand(r_t, guidance) * guidance


def chains(*lengths):
    """Normal draws of spread 3: what `White` is exact for."""
    return [
        3 * torch.randn(n, 3, generator=torch.Generator().manual_seed(i))
        for i, n in enumerate(lengths)
    ]


def test_a_batch_is_as_long_as_its_longest_chain():
    source = Backbones(chains(5, 9, 7), White())
    batch = source.batch([0, 2], Noise([1, 2]))
    assert batch.x_0.shape == (2, 7, 3)
    assert batch.context["mask"].sum(1).tolist() == [5, 7]
    assert (batch.x_0[0, 5:] == 0).all()
    told = batch.told(White())
    assert told.event_shape == (7, 3)
    assert told.lengths.tolist() == [5, 7]


def test_chains_are_turned_and_keep_their_shape():
    chain = chains(8)
    source = Backbones(chain, White())
    turned = source.batch([0] * 50, Noise(range(50))).x_0
    torch.testing.assert_close(
        torch.cdist(turned, turned), torch.cdist(chain[0], chain[0]).expand(50, 8, 8)
    )
    triple = torch.linalg.det(turned[:, 1:4] - turned[:, :1])
    torch.testing.assert_close(triple, triple[:1].expand(50), rtol=1e-3, atol=1e-3)
    assert turned[:, 0].mean(0).norm() < 4 * chain[0][0].norm() / math.sqrt(50)
    again = source.batch([0], Noise([7])).x_0
    assert torch.equal(again[0], turned[7])


def test_a_chain_that_is_too_long_is_cut_to_windows():
    long = torch.arange(30.0)[:, None] * torch.tensor([3.8, 0.0, 0.0])
    x_0 = Backbones([long], White()).batch([0] * 300, Noise(range(300))).x_0
    assert x_0.shape == (300, 20, 3)
    starts = (x_0[:, 0].norm(dim=1) / 3.8).round().long().bincount(minlength=11)
    assert len(starts) == 11
    assert starts.min() > 300 / 11 - 5 * math.sqrt(300 / 11)


def test_centred_and_padded_priors():
    x_0 = Backbones(chains(5, 9), White(centred=True)).batch([0, 1], Noise([1, 2])).x_0
    torch.testing.assert_close(x_0.sum(1), torch.zeros(2, 3), atol=1e-4, rtol=0)
    assert (x_0[0, 5:] == 0).all()
    batch = Backbones(chains(5, 9), White(padded=True)).batch([0], Noise([1]))
    assert batch.x_0.shape == (1, 20, 3)
    assert batch.context["mask"].sum() == 5


def test_a_batch_of_none():
    batch = Backbones(chains(5), White()).batch([], Noise([]))
    assert len(batch.x_0) == 0


def problem(frame="fixed"):
    return MotifScaffolding(contiguous=(2, 6), islands=(2, 2), island=(1, 3), frame=frame)


@pytest.mark.parametrize("per_evaluation", [1, 3])
def test_the_loss_is_that_of_each_chain_alone(per_evaluation):
    """Padding does not count: a mean over the residues that exist."""
    source = Backbones(chains(5, 12), White())
    objective = DenoisingScoreMatching(problem("aligned"), per_evaluation=per_evaluation)
    together, alone = source.batch([0, 1], Noise([1, 2])), source.batch([0], Noise([1]))
    a, b = (objective.loss(Gain(0.5), batch.told(White()), batch) for batch in (together, alone))
    torch.testing.assert_close(a.value[:1], b.value)
    torch.testing.assert_close(a.shown["without"][:1], b.shown["without"])


def test_the_loss_without_h_is_one():
    """(x_0 - x_0_hat) / r_t is white where residues are, for this prior."""
    source = Backbones(chains(*range(5, 21)), White())
    objective = DenoisingScoreMatching(problem())
    batch = source.batch([k % 16 for k in range(800)], Noise(range(800)))
    batch = type(batch)(
        torch.where(batch.context["mask"][..., None], 3 * torch.randn_like(batch.x_0), 0.0),
        batch.noise,
        context=batch.context,
    )
    without = objective.loss(Gain(), batch.told(White()), batch).shown["without"]
    assert abs(without.mean() - 1) < 5 * math.sqrt(2 / (3 * 12.5) / 800)


def test_training_tells_the_prior_how_long_its_chains_are(tmp_path):
    """The gain goes from 0 to 1, which is exact."""
    h, source = Gain(), Backbones(chains(*range(5, 21)), White())
    result = train(
        h,
        White(),
        DenoisingScoreMatching(problem()),
        source,
        validation=source,
        validation_draws=32,
        validate_every=40,
        steps=40,
        batch_size=16,
        learning_rate=0.1,
        ema=0.5,
        out=tmp_path,
        progress=False,
    )
    assert abs(h.w.item() - 1) < 0.15
    assert result.validation is not None
    assert result.validation.loss < 0.9 * result.validation.without
    card = validated(h, White(), problem(), source, sampler=deft.DDIM(8))
    assert card["misfit"] < 3


def test_an_aligned_motif_trains():
    h, source = Gain(1.0), Backbones(chains(8, 12), White())
    train(h, White(), DenoisingScoreMatching(problem("aligned")), source, steps=3, batch_size=4,
          progress=False)  # fmt: skip
    assert h.w.isfinite()


def test_a_bank_of_chains_is_refused(tmp_path):
    source = Backbones(chains(8, 12), White())
    with pytest.raises(InvalidInput) as raised:
        Bank.build(White(), source, 4, batch_size=2, out=tmp_path)
    assert raised.value.given == "signals with mask of their own"


def test_a_number_of_measurements_is_refused():
    source = Backbones(chains(8), White())
    batch = source.batch([0], Noise([1]))
    objective = DenoisingScoreMatching(problem(), measurements=3)
    refused(lambda: objective.loss(Gain(), batch.told(White()), batch), 3, "None for signals")


def test_errors():
    refused(lambda: Backbones([], White()), "none", "one C-alpha trace or more")
    refused(lambda: Backbones([torch.zeros(3, 4)], White()), (3, 4), "(residues, 3)")
    refused(lambda: Backbones(chains(8, 3), White()), "3 residues", "4 or more", "leave it out")
    bad = chains(8)[0]
    bad[2, 1] = torch.nan
    refused(lambda: Backbones([bad], White()), "values that are not finite", "coordinates")
    straight = torch.arange(9.0)[:, None] * torch.tensor([0.38, 0.0, 0.0])
    refused(
        lambda: Backbones([straight], White()),
        "neighbours 0.38 apart, in the middle",
        "3.8 apart",
        "multiplied by 10",
    )
