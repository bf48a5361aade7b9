"""Losses of chains of several lengths: over the residues that exist, of a prior that is told of
them.
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
from deft.training.bank import Bank
from deft.training.chains import Chains
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


def problem(frame="fixed"):
    return MotifScaffolding(contiguous=(2, 6), islands=(2, 2), island=(1, 3), frame=frame)


@pytest.mark.parametrize("per_evaluation", [1, 3])
def test_the_loss_is_that_of_each_chain_alone(per_evaluation):
    """Padding does not count: a mean over the residues that exist."""
    source = Chains(chains(5, 12), White())
    objective = DenoisingScoreMatching(problem("aligned"), per_evaluation=per_evaluation)
    together, alone = source.batch([0, 1], Noise([1, 2])), source.batch([0], Noise([1]))
    a, b = (objective.loss(Gain(0.5), batch.told(White()), batch) for batch in (together, alone))
    torch.testing.assert_close(a.value[:1], b.value)
    torch.testing.assert_close(a.shown["without"][:1], b.shown["without"])


def test_the_loss_without_h_is_one():
    """(x_0 - x_0_hat) / r_t is white where residues are, for this prior."""
    source = Chains(chains(*range(5, 21)), White())
    objective = DenoisingScoreMatching(problem())
    batch = source.batch([k % 16 for k in range(800)], Noise(range(800)))
    batch = type(batch)(
        torch.where(batch.context["mask"][..., None], 3 * torch.randn_like(batch.x_0), 0.0),
        batch.noise,
        context=batch.context,
    )
    without = objective.loss(Gain(), batch.told(White()), batch).shown["without"]
    assert abs(without.mean() - 1) < 5 * math.sqrt(2 / (3 * 12.5) / 800)


def test_batches_are_of_about_one_length_where_that_saves_work():
    lengths = [5, 12, 20, 8]
    source = Chains(chains(*lengths), White())
    assert source.sizes == lengths
    assert source.card()["batches"] == "by length"
    for alike in (Chains(chains(*lengths), White(padded=True)), Chains(chains(9, 9), White())):
        assert alike.sizes is None
        assert alike.card()["batches"] == "of any length"


def test_training_tells_the_prior_how_long_its_chains_are(tmp_path):
    """The gain goes from 0 to 1, which is exact."""
    h, source = Gain(), Chains(chains(*range(5, 21)), White())
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
    h, source = Gain(1.0), Chains(chains(8, 12), White())
    train(h, White(), DenoisingScoreMatching(problem("aligned")), source, steps=3, batch_size=4,
          progress=False)  # fmt: skip
    assert h.w.isfinite()


def test_a_bank_of_chains_is_refused(tmp_path):
    source = Chains(chains(8, 12), White())
    with pytest.raises(InvalidInput) as raised:
        Bank.build(White(), source, 4, batch_size=2, out=tmp_path)
    assert raised.value.given == "signals with mask of their own"


def test_a_number_of_measurements_is_refused():
    source = Chains(chains(8), White())
    batch = source.batch([0], Noise([1]))
    objective = DenoisingScoreMatching(problem(), measurements=3)
    refused(lambda: objective.loss(Gain(), batch.told(White()), batch), 3, "None for signals")
