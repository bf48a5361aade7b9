import copy
import math

import pytest
import torch
from torch import nn

from deft.errors import InvalidInput, OutsideTraining
from deft.htransforms.base import HTransform, NoConditioning
from deft.htransforms.dps import DPS
from deft.htransforms.exact import Exact
from deft.noise import Noise
from deft.posterior import Posterior
from deft.priors.callable import CallablePrior
from deft.priors.gaussian_mixture import GaussianMixture
from deft.problems import Fixed
from deft.samplers.ddim import DDIM
from deft.samplers.dpm_solver import DPMSolver
from deft.samplers.grids import UniformLogSNR
from deft.schedules import VPLinear
from deft.steps import State
from deft.training.batch import Batch
from deft.training.distillation import EnergyScore, TrajectoryMatching
from deft.training.loop import train
from deft.training.rollout import student
from deft.training.validated import made, sampler_of
from deft.transitions import Transition
from tests.contracts.objective import ObjectiveContract
from tests.training import small

SHAPE, SCALE, SIGMA_Y = (1, 4, 4), 0.7, 0.3
MEAN = torch.linspace(-0.5, 0.5, 16).reshape(SHAPE)
PROBLEM = Fixed(small.LeftHalf(), sigma_y=SIGMA_Y)


def white():
    return GaussianMixture(MEAN[None], torch.tensor([SCALE**2]), None, VPLinear())


def signals(n, seed=3):
    return MEAN + SCALE * torch.randn(n, *SHAPE, generator=torch.Generator().manual_seed(seed))


def posterior_moments(observation):
    """The mean and the variance of each entry given y."""
    seen = torch.zeros(SHAPE)
    seen[..., : SHAPE[-1] // 2] = 1
    variance = 1 / (1 / SCALE**2 + seen / SIGMA_Y**2)
    return variance * (MEAN / SCALE**2 + seen * observation.lifted / SIGMA_Y**2), variance


def flow(prior, x_t, t, s, observation):
    """Where the probability flow of the posterior goes: each entry keeps its quantile."""
    mean, variance = posterior_moments(observation)
    alpha_t, sigma_t = prior.levels(x_t, t)
    alpha_s, sigma_s = (1.0, 0.0) if s is None else prior.levels(x_t, s)
    ratio = (alpha_s**2 * variance + sigma_s**2) / (alpha_t**2 * variance + sigma_t**2)
    return alpha_s * mean + ratio**0.5 * (x_t - alpha_t * mean)


class Flow(HTransform):
    """The shift with which one DDIM step is the flow, with a gain of 1 and an offset of 0."""

    def __init__(self):
        super().__init__()
        self.gain, self.offset = nn.Parameter(torch.ones(())), nn.Parameter(torch.zeros(()))
        self.steps = None

    def on(self, steps):
        bound = copy.copy(self)
        bound.steps = steps
        return bound

    def shift(self, denoised, observation):
        times, prior = self.steps.times, white()
        k = int((times - denoised.t.double()).abs().argmin())
        s = times[k + 1 : k + 2] if k + 1 < len(times) else None
        alpha_s = 1.0 if s is None else prior.levels(denoised.x_t, s)[0]
        mean, _ = posterior_moments(observation)
        x_s = flow(prior, denoised.x_t, denoised.t, s, observation)
        centre = alpha_s * mean
        x_s = centre + self.gain * (x_s - centre) + alpha_s * self.offset
        if s is None:
            return x_s - denoised.x_0_hat
        one = Transition.between(prior.schedule, denoised.t, s, 0.0)
        return (x_s - one.b.to(x_s) * denoised.x_t) / one.a.to(x_s) - denoised.x_0_hat


class OfTheWhiteGaussian(ObjectiveContract):
    def prior(self):
        return white()

    def signals(self, n):
        return signals(n)

    def exact(self):
        return Flow()

    def spoil(self, h):
        with torch.no_grad():
            h.gain.fill_(0.7)
            h.offset.fill_(0.2)
        return h


class TestEnergyScore(OfTheWhiteGaussian):
    def objective(self):
        return EnergyScore(PROBLEM, student(3), patches=(1, 2))


class TestEnergyScoreOfThreeSamples(OfTheWhiteGaussian):
    draws = 2048

    def objective(self):
        return EnergyScore(PROBLEM, student(2), samples=3, patches=())


@pytest.mark.parametrize(("gain", "offset"), [(0.8, 0.0), (1.25, 0.0), (1.0, 0.15)])
def test_the_score_of_every_other_spread_or_place_is_higher(gain, offset):
    x_0 = signals(2000)
    batch, objective = Batch(x_0, Noise(range(2000))), EnergyScore(PROBLEM, student(3))
    right, wrong = Flow(), Flow()
    with torch.no_grad():
        wrong.gain.fill_(gain)
        wrong.offset.fill_(offset)
        excess = objective.loss(wrong, white(), batch).value
        excess = excess - objective.loss(right, white(), batch).value
    assert excess.mean() > 4 * excess.std() / math.sqrt(len(excess))


def observed(n):
    return PROBLEM.draw(signals(n), Noise(range(n)))


@pytest.mark.parametrize("k", [0, 1, 2])
def test_the_teacher_goes_where_the_flow_goes(k):
    prior, n = white(), 4
    objective = TrajectoryMatching(PROBLEM, Exact(prior), student(3), substeps=200)
    times, observation = objective.sampler.times_of(prior), observed(n)
    x_t = torch.randn(n, *SHAPE, generator=torch.Generator().manual_seed(1))
    s = times[k + 1 : k + 2] if k < 2 else None
    batch, state = Batch(signals(n), Noise(range(n))), State(x_t, times[k : k + 1], k)
    aim = objective.aim(prior, observation, batch, state, s)
    expected = flow(prior, x_t, times[k : k + 1], s, observation)
    # where x_0 is the aim, the teacher's own last step leaves out what is below its last level
    torch.testing.assert_close(aim, expected, rtol=0, atol=2e-3 if s is not None else 2e-2)


@pytest.mark.parametrize("follow", ["student", "teacher"])
def test_a_step_that_is_the_flow_has_no_loss_and_any_other_has_that_of_its_shift(follow):
    prior, batch = white(), Batch(signals(4), Noise(range(4)))
    objective = TrajectoryMatching(PROBLEM, Exact(prior), student(3), substeps=50, follow=follow)
    right, wrong = Flow(), Flow()
    assert objective.loss(right, prior, batch).value.max() < 2e-3
    with torch.no_grad():
        wrong.gain.fill_(0.8)
    assert objective.loss(wrong, prior, batch).value.min() > 5e-3


class PerEntry(HTransform):
    """Affine in x_t and in the lift of y, with numbers of its own for each step and entry."""

    def __init__(self, times):
        super().__init__()
        self.times = times
        self.w = nn.Parameter(torch.zeros(3, len(times), *SHAPE))
        self.config = {"steps": len(times)}

    def silent(self, denoised, observation, shift):
        return False

    def shift(self, denoised, observation):
        k = int((self.times - denoised.t.double()).abs().argmin())
        r = denoised.spread(SCALE)
        of_x, of_y, constant = self.w[:, k]
        x = denoised.x_t / denoised.marginal_spread(SCALE)
        return r * (of_x * x + of_y * observation.lifted + constant)


def test_distilled_steps_are_the_exact_flow():
    prior = white()
    objective = TrajectoryMatching(PROBLEM, Exact(prior), student(2, high=2.0), substeps=8)
    times = objective.sampler.times_of(prior)
    h = PerEntry(times)
    settings = {"steps": 40, "batch_size": 16, "learning_rate": 0.2, "ema": 0.0, "warmup": 1}
    train(h, prior, objective, signals(64), progress=False, **settings)
    x_1 = torch.randn(16, *SHAPE, generator=torch.Generator().manual_seed(2))
    observation = observed(16)
    with torch.no_grad():
        posterior, state = Posterior(prior, h, observation), State(x_1, times[:1])
        state = objective.sampler.step(posterior, state, times[1:], Noise(range(16)))
        x_0 = posterior.denoise(state.x_t, state.t)
    exact = flow(prior, x_1, times[:1], None, observation)
    assert (x_0 - exact).square().mean().sqrt() < 0.08  # eight times that before it was trained


def test_one_evaluation_of_the_prior_serves_the_student_h_and_its_absence():
    prior, calls = white(), []
    denoise = prior.denoise
    prior.denoise = lambda x_t, t: calls.append(len(x_t)) or denoise(x_t, t)
    EnergyScore(PROBLEM, student(4)).loss(Flow(), prior, Batch(signals(3), Noise(range(3))))
    assert calls == [6] * 4
    calls.clear()
    teacher = Exact(white())
    TrajectoryMatching(PROBLEM, teacher, student(4), substeps=5).loss(
        Flow(), prior, Batch(signals(3), Noise(range(3)))
    )
    assert calls == [3] * 20  # the teacher's first evaluations are the student's


def test_paths_that_are_kept_cost_no_evaluation_and_say_the_same():
    prior, calls = white(), []
    denoise = prior.denoise
    prior.denoise = lambda x_t, t: calls.append(len(x_t)) or denoise(x_t, t)
    objective = TrajectoryMatching(
        PROBLEM, Exact(white()), student(2), substeps=3, follow="teacher", repeats=1
    )
    x_0 = signals(4)
    first = objective.loss(Flow(), prior, Batch(x_0, Noise(range(4)))).value
    assert calls == [4] * 6
    again = objective.loss(Flow(), prior, Batch(x_0.flip(0), Noise(range(10, 14)))).value
    assert calls == [4] * 6
    torch.testing.assert_close(again.flip(0), first)


def test_any_sampler_can_be_the_student():
    for sampler in (DPMSolver(3), DDIM(3, eta=1.0)):
        h = small.h_transform()
        loss = EnergyScore(Fixed(small.LeftHalf(), 0.1), sampler).loss(
            h, small.prior(), Batch(small.images(2), Noise(range(2)))
        )
        loss.value.mean().backward()
        assert any(p.grad is not None and bool((p.grad != 0).any()) for p in h.parameters())


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: EnergyScore(PROBLEM, samples=1),
        lambda: EnergyScore(PROBLEM, patches=(0,)),
        lambda: EnergyScore(PROBLEM, "DDIM"),
        lambda: TrajectoryMatching(PROBLEM, Flow(), substeps=0),
        lambda: TrajectoryMatching(PROBLEM, Flow(), follow="both"),
        lambda: TrajectoryMatching(PROBLEM, Flow(), repeats=1),
        lambda: TrajectoryMatching(PROBLEM, Flow(), follow="teacher", repeats=0),
        lambda: TrajectoryMatching(PROBLEM, Flow(), DDIM(4, eta=0.5)),
        lambda: EnergyScore(PROBLEM).loss(DPS(0.1), white(), Batch(signals(1), Noise([0]))),
    ],
)
def test_what_cannot_be_meant_is_refused(wrong):
    with pytest.raises(InvalidInput):
        wrong()


def test_cards_say_all_that_a_result_depends_on():
    teacher = small.h_transform()
    by_teacher = TrajectoryMatching(PROBLEM, teacher, student(4, -2.0, 5.0), follow="teacher")
    card = by_teacher.card()
    assert card["sampler"] == {
        "class": "DDIM",
        "args": {
            "steps": 4,
            "eta": 0.0,
            "grid": {"class": "UniformLogSNR", "args": {"high": 5.0, "low": -2.0}},
        },
    }
    assert (card["substeps"], card["follow"], len(card["teacher"])) == (5, "teacher", 16)
    assert EnergyScore(PROBLEM, patches=(1, 8)).card()["patches"] == [1, 8]


def test_a_sampler_is_made_again_from_its_card():
    sampler = sampler_of({"sampler": {"made": made(DDIM(3, 0.5, UniformLogSNR(5.0, -1.0)))}})
    assert made(sampler) == made(DDIM(3, 0.5, UniformLogSNR(5.0, -1.0)))
    assert type(sampler_of({"sampler": {"made": made(DPMSolver(7))}})) is DPMSolver


def test_a_run_that_was_stopped_ends_with_the_same_weights(tmp_path):
    def run(out, steps_before=None):
        objective = EnergyScore(Fixed(small.LeftHalf(), sigma_y=0.1), student(2))
        h = small.h_transform()
        settings = {"batch_size": 2, "progress": False, "out": out, "save_every": 2}
        if steps_before:
            with pytest.raises(KeyboardInterrupt):
                train(h, small.prior(), Stopping(objective), small.images(), steps=6, **settings)
            h = small.h_transform(1)
        train(h, small.prior(), objective, small.images(), steps=6, **settings)
        return h.state_dict()

    class Stopping(EnergyScore.__mro__[1]):
        def __init__(self, inner):
            nn.Module.__init__(self)
            self.inner, self.calls = (inner,), 0

        def compared(self, *args): ...

        def aim(self, *args): ...

        def card(self):
            return self.inner[0].card()

        def loss(self, *args):
            self.calls += 1
            if self.calls > 4:
                raise KeyboardInterrupt
            return self.inner[0].loss(*args)

    whole, stopped = run(tmp_path / "a"), run(tmp_path / "b", 4)
    for name, value in whole.items():
        assert torch.equal(value, stopped[name]), name


def test_steps_that_h_was_not_distilled_for_are_a_warning(recwarn):
    h, prior = small.h_transform(), small.prior()
    sampler = student(3)
    h.distilled_for = tuple(EnergyScore(PROBLEM, sampler).asked_at(prior))
    observation = Fixed(small.LeftHalf(), 0.1).draw(small.images(1), Noise([0]))
    posterior = Posterior(prior, h, observation)
    sampler(posterior, 1)
    assert not [w for w in recwarn if issubclass(w.category, OutsideTraining)]
    with pytest.warns(OutsideTraining, match=r"distilled for 3 .*this sampler makes 4"):
        DPMSolver(4)(posterior, 1)


def test_the_score_of_signals_that_the_prior_is_told_of():
    """Each sample is drawn by the prior of its own signal: as alone."""
    prior = CallablePrior(
        lambda x_t, t, label: x_t * label.reshape(-1, 1, 1, 1),
        VPLinear(),
        SHAPE,
        scale=SCALE,
        context=["label"],
    )
    noise, x_0 = Noise(range(2)), signals(2)
    label = torch.tensor([0.2, 0.9])
    objective = EnergyScore(PROBLEM, student(2))
    both = objective.loss(NoConditioning(), prior, Batch(x_0, noise, context={"label": label}))
    one = Batch(x_0[1:], noise.take([1]), context={"label": label[1:]})
    alone = objective.loss(NoConditioning(), prior, one)
    torch.testing.assert_close(both.value[1:], alone.value)
