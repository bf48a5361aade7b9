"""The one loop, and published steps that are bound to it when sampling starts."""

import itertools

import pytest
import torch

from deft.errors import InvalidInput
from deft.htransforms.base import NoConditioning
from deft.htransforms.calibrated import Calibrated
from deft.htransforms.composed import Scaled, Sum
from deft.htransforms.dps import DPS
from deft.htransforms.pigdm import PiGDM
from deft.noise import Noise
from deft.paths import simulate, weigh
from deft.posterior import Posterior
from deft.samplers.ddim import DDIM
from deft.samplers.dpm_solver import DPMSolver
from deft.samplers.grids import UniformLogSNR
from deft.schedules import VPCosine
from deft.steps import Estimate, State, stops, walk
from deft.transitions import Steps, Transition
from tests.closed_form import DOUBLE, gaussian, measured, mixture
from tests.contracts.htransform import images


def test_a_walk_gives_every_state_and_takes_another_in_its_place():
    times = torch.tensor([1.0, 0.6, 0.2], dtype=DOUBLE)
    way = walk(
        times,
        State(torch.zeros(2), times[:1]),
        lambda state, s: State(state.x_t + 1, s, state.step + 1),
    )
    first = next(way)
    assert (first.step, first.t.item()) == (0, 1.0)
    second = way.send(State(torch.full((2,), 10.0), first.t))
    assert second.x_t.tolist() == [11.0, 11.0]
    third = next(way)
    assert (third.step, third.t.item()) == (2, pytest.approx(0.2))
    with pytest.raises(StopIteration):
        next(way)


def test_stops_are_the_steps_of_ddim():
    prior, noise = gaussian(), Noise([1, 2, 3], dtype=DOUBLE)
    sampler = DDIM(7, eta=0.6, grid=UniformLogSNR())

    def asked(x_t, t):
        x_0_hat = prior.denoise(x_t, t)
        return Estimate(x_0_hat, torch.zeros_like(x_0_hat))

    *_, last = stops(prior, noise, sampler.times_of(prior), 0.6, asked)
    torch.testing.assert_close(last.said.x_0_hat, sampler.run(prior, noise))


def test_steps_are_transitions_and_the_last_returns_the_estimate():
    schedule, times = VPCosine(), torch.tensor([1.0, 0.5, 0.1], dtype=DOUBLE)
    steps = Steps(schedule, times, 0.8)
    each = [
        Transition.between(schedule, t[None], s[None], 0.8) for t, s in itertools.pairwise(times)
    ]
    torch.testing.assert_close(
        steps.moved_by(), torch.cat([*(step.a for step in each), torch.ones(1, dtype=DOUBLE)])
    )
    torch.testing.assert_close(
        steps.fresh(), torch.cat([*(step.c for step in each), torch.zeros(1, dtype=DOUBLE)])
    )


def bound(prior, sampler, h_transform):
    steps = Steps(prior.schedule, sampler.times_of(prior), sampler.eta)
    return h_transform.on(steps)


@pytest.mark.parametrize(
    "make",
    [lambda h: h, lambda h: Scaled(h, 0.5), lambda h: Sum(h, NoConditioning())],
    ids=["alone", "scaled", "in a sum"],
)
def test_a_published_step_is_bound_when_sampling_starts(make):
    prior, sampler = mixture(), DDIM(8, eta=1.0)
    observation = measured(prior)
    for h_transform in (DPS.published(0.3), PiGDM.published()):
        by_hand = Posterior(prior, bound(prior, sampler, make(h_transform)), observation)
        found = sampler(Posterior(prior, make(h_transform), observation), 3, seed=1)
        torch.testing.assert_close(found, sampler(by_hand, 3, seed=1))
        other = DDIM(5, eta=1.0)(
            Posterior(prior, make(h_transform), observation), 3, seed=1
        )  # the same method, in other steps
        assert bool(other.isfinite().all())


def test_what_is_around_it_binds_it_too():
    prior = images()
    h_transform = Calibrated(DPS.published(0.3), prior.event_shape, low=0.0, high=2.0).double()
    steps = Steps(prior.schedule, DDIM(6).times_of(prior), 1.0)
    assert h_transform.on(steps).h_transform.weight is not h_transform.h_transform.weight
    assert (
        type(h_transform.h_transform.weight).__name__ == "GradientStep"
    )  # what was given is left as it was


def test_paths_bind_it():
    prior = mixture()
    posterior, sampler = Posterior(prior, DPS.published(0.3), measured(prior)), DDIM(8, eta=1.0)
    weighted = weigh(simulate(posterior, sampler, 4, seed=1), posterior)
    assert bool(weighted.log_weights.isfinite().all())


def test_another_sampler_is_refused_before_the_prior_is_evaluated():
    prior = mixture()
    posterior = Posterior(prior, DPS.published(0.3), measured(prior))
    prior.denoise = None
    with pytest.raises(InvalidInput) as caught:
        DPMSolver(5)(posterior, 1)
    assert caught.value.given == "a sampler whose steps are not DDIM's"


def test_without_steps_it_is_refused():
    prior = mixture()
    with pytest.raises(InvalidInput) as caught:
        Posterior(prior, DPS.published(0.3), measured(prior)).denoise(
            torch.zeros(1, 3, dtype=DOUBLE), torch.ones(1, dtype=DOUBLE)
        )
    assert caught.value.what == "a published step size"
