"""Deep features that are kept from one step of a walk to the next."""

import pytest
import torch

from deft.errors import InvalidInput, PriorNotDifferentiable
from deft.htransforms.dps import DPS
from deft.noise import Noise
from deft.posterior import Posterior
from deft.priors.reused import Reused
from deft.priors.unet import UNetPrior
from deft.problems import Denoising
from deft.samplers.dpm_solver import DPMSolver
from deft.samplers.grids import UniformLogSNR
from deft.schedules import VPLinear
from deft.transitions import Steps
from tests.contracts.prior import PriorContract
from tests.priors.test_gaussian_mixture import mixture


def unet(levels: int = 3) -> UNetPrior:
    torch.manual_seed(0)
    prior = UNetPrior(
        (1, 8, 8), VPLinear(), channels=(4,) * levels, blocks=1, attention=(False,) * levels
    )
    for p in prior.network.parameters():
        torch.nn.init.normal_(p, std=0.3)
    return prior.frozen()


class TestReused(PriorContract):
    tolerance = 1e-5  # single precision

    def prior(self):
        return Reused(unet())


def walk(prior, every, outer=1, steps=5):
    """What is said at each time of a grid."""
    times = UniformLogSNR().times(prior.schedule, steps)
    bound = Reused(prior, every, outer).on(Steps(prior.schedule, times, None))
    noise = Noise(range(2))
    return [bound.denoise(noise.normal(k, prior.event_shape), t[None]) for k, t in enumerate(times)]


@pytest.mark.parametrize("outer", [1, 2])
def test_every_step_whole_is_the_prior_itself(outer):
    prior = unet()
    times = UniformLogSNR().times(prior.schedule, 5)
    for k, (t, said) in enumerate(zip(times, walk(prior, 1, outer))):
        assert torch.equal(said, prior.denoise(Noise(range(2)).normal(k, (1, 8, 8)), t[None]))


@pytest.mark.parametrize(("every", "whole"), [(2, [0, 2, 4]), (3, [0, 3]), (9, [0])])
def test_the_steps_between_take_the_deep_features_of_the_last_whole_one(every, whole):
    prior = unet()
    same = [torch.equal(a, b) for a, b in zip(walk(prior, every), walk(prior, 1))]
    assert [k for k, equal in enumerate(same) if equal] == whole


def test_the_deeper_levels_are_not_evaluated_between(monkeypatch):
    prior, calls = unet(), []
    prior.network.middle.register_forward_hook(lambda *_: calls.append(1))
    walk(prior, 2)
    assert len(calls) == 3


def test_the_same_signals_again_are_as_good_as_whole():
    """At a point that has not moved, what is kept is what would be computed."""
    prior = unet()
    x_t, t = torch.ones(2, 1, 8, 8), torch.tensor([0.5])
    whole, kept = prior.denoise_keeping(x_t, t, 1, None)
    again, _ = prior.denoise_keeping(x_t, t, 1, kept)
    assert torch.equal(again, whole)
    assert torch.equal(whole, prior.denoise(x_t, t))


def test_walks_do_not_share_what_they_keep():
    prior = Reused(unet(), 4)
    sampler = DPMSolver(4)
    alone = sampler(prior, 1, seed=[3])
    assert torch.equal(sampler(prior, 1, seed=[3]), alone)
    many = sampler(prior, 3, seed=[3], batch_size=1)
    torch.testing.assert_close(many[:, :1], sampler(prior, 3, seed=[3])[:, :1])


def test_results_say_that_features_were_kept():
    prior = unet()
    assert Reused(prior, 2).identity()["reuse"] == {"every": 2, "outer": 1}
    assert Reused(prior, 2).identity()["hash"] == prior.identity()["hash"]


def test_what_it_refuses():
    with pytest.raises(InvalidInput, match="a UNetPrior"):
        Reused(mixture())
    with pytest.raises(InvalidInput, match="reuse"):
        Reused(unet(), 0)
    with pytest.raises(InvalidInput, match="outer"):
        Reused(unet(), 2, 3)
    observation = Denoising(sigma_y=0.1).draw(torch.zeros(1, 1, 8, 8), Noise([0]))
    with pytest.raises(PriorNotDifferentiable):
        Posterior(Reused(unet()), DPS(1.0), observation)
