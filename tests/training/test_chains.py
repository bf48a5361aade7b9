"""Chains of several lengths in one batch: each as it would be alone."""

import pytest
import torch

from deft.errors import InvalidInput
from deft.htransforms.backbone import BackboneHTransform
from deft.noise import Noise
from deft.priors.gaussian_chain import GaussianChain
from deft.problems.motif import MotifScaffolding
from deft.training.batch import several
from deft.training.chains import Chains
from deft.training.denoising import DenoisingScoreMatching
from deft.training.distillation import EnergyScore, TrajectoryMatching
from deft.training.loop import train
from deft.training.rollout import student
from tests.priors.test_backbone import White
from tests.training import small


def made(*lengths):
    prior = GaussianChain(24)
    noise = Noise(range(len(lengths)))
    chains = [prior.of_length(n).sample(noise.take([i]))[0] + 5.0 for i, n in enumerate(lengths)]
    return prior, Chains(chains, prior)


PROBLEM = MotifScaffolding(contiguous=(4, 8), share=0.0, sigma_y=0.1)


def objective():
    return DenoisingScoreMatching(PROBLEM, log_snr_mean=-2.0)


def test_a_batch_is_as_long_as_its_longest_chain_and_says_what_exists():
    _, source = made(12, 20, 16)
    batch = source.batch([2, 0], Noise([1, 2]))
    assert batch.x_0.shape == (2, 16, 3)
    assert batch.context["mask"].sum(1).tolist() == [16, 12]
    assert (batch.x_0[1, 12:] == 0).all()
    torch.testing.assert_close(batch.x_0.sum(1), torch.zeros(2, 3), rtol=0, atol=1e-4)


def test_a_batch_is_as_long_as_the_prior_pads_every_chain_to():
    prior = White(24, centred=False, padded=True)
    source = Chains([torch.randn(n, 3) for n in (12, 16)], prior)
    batch = source.batch([1, 0], Noise([1, 2]))
    assert batch.x_0.shape == (2, 24, 3)
    assert batch.context["mask"].sum(1).tolist() == [16, 12]
    assert prior.given(**batch.context).event_shape == (24, 3)


def test_the_loss_of_a_chain_is_that_which_it_has_alone():
    prior, source = made(12, 20)
    h = BackboneHTransform(prior.scale, width=8, heads=1, pair=4, window=2, told=8)
    noise = Noise([3, 4])
    both = objective().loss(h, prior, source.batch([0, 1], noise))
    alone = objective().loss(h, prior, source.batch([0], noise.take([0])))
    torch.testing.assert_close(both.value[0], alone.value[0], rtol=1e-3, atol=1e-4)


def test_several_measurements_of_each_keep_their_masks():
    prior, source = made(12, 20)
    batch = several(
        objective().ahead(small_h(prior), prior, source.batch([0, 1], Noise([3, 4]))), 3
    )
    assert batch.context["mask"].sum(1).tolist() == [12, 12, 12, 20, 20, 20]
    assert batch.denoised.x_0_hat.shape == (6, 20, 3)


def small_h(prior):
    torch.manual_seed(0)
    return BackboneHTransform(prior.scale, width=8, heads=1, pair=4, window=2, told=8)


def test_training_moves_the_h_transform_and_knows_its_data():
    prior, source = made(12, 20, 16, 14)
    h, before = small_h(prior), small_h(prior)
    result = train(h, prior, objective(), source, steps=2, batch_size=2, progress=False)
    assert result.signals == 4
    assert any(not torch.equal(a, b) for a, b in zip(h.parameters(), before.parameters()))
    assert source.fingerprint() == made(12, 20, 16, 14)[1].fingerprint() is not None
    assert source.fingerprint() != made(12, 20, 16, 15)[1].fingerprint()


def test_chains_that_do_not_fit_are_refused():
    prior = GaussianChain(24)
    good = torch.randn(10, 3)
    for bad, match in (
        (torch.randn(25, 3), "2 to 24"),
        (torch.randn(10, 2), "chain 1 of shape"),
        (good * float("nan"), "chain 1 of shape"),
    ):
        with pytest.raises(InvalidInput, match=match):
            Chains([good, bad], prior)
    with pytest.raises(InvalidInput, match="empty"):
        Chains([], prior)
    with pytest.raises(InvalidInput, match="takes no mask"):
        Chains([good], small.prior())


def test_the_loss_of_a_walk_of_a_chain_is_that_which_it_has_alone():
    prior, source = made(12, 20)
    torch.manual_seed(1)
    h = small_h(prior)
    objective = TrajectoryMatching(PROBLEM, small_h(prior), student(2), substeps=2)
    noise = Noise([3, 4])
    both = objective.loss(h, prior, source.batch([0, 1], noise))
    alone = objective.loss(h, prior, source.batch([0], noise.take([0])))
    torch.testing.assert_close(both.value[0], alone.value[0], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(
        both.shown["without"][0], alone.shown["without"][0], rtol=1e-3, atol=1e-4
    )
    assert float(both.shown["without"][0]) > 0


def test_the_energy_score_takes_no_chains():
    prior, source = made(12, 20)
    with pytest.raises(InvalidInput, match="clouds of points"):
        EnergyScore(PROBLEM).loss(small_h(prior), prior, source.batch([0, 1], Noise([3, 4])))
