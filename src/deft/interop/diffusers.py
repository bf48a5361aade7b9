"""For people who keep their own diffusers loop: what a network predicts, conditioned.

    x_0_hat = E[x_0 | x_t]  from the prediction,     x_0_hat' = x_0_hat + shift(x_t, t, y)
    epsilon   f' = (x_t - alpha_t x_0_hat') / sigma_t
    v         f' = (alpha_t x_t - (alpha_t^2 + sigma_t^2) x_0_hat') / sigma_t
    sample    f' = x_0_hat'

The scheduler then steps as it would with the network's own prediction. It must know x_t as
alpha_t x_0 + sigma_t eps with a table of betas: those that scale x_t (Euler, LMS, ...) and flow
matching are refused.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import Any, final

import torch
from torch import Tensor

from deft.errors import InvalidInput, PriorNotDifferentiable
from deft.htransforms.base import HTransform, stays
from deft.likelihoods import Observation
from deft.noise import Noise
from deft.priors import predictions
from deft.priors.base import Prior
from deft.priors.denoised import Denoised
from deft.samplers.arguments import at_least_one
from deft.samplers.base import Sampler
from deft.samplers.grids import LogSNRCurve
from deft.schedules import VPTabulated
from deft.steps import State
from deft.types import Signal, Times

_TOLERANCE = 1e-2  # of a log-SNR; tables are kept in single precision
_KNOWN = ("epsilon", "sample", "v_prediction")


@torch.no_grad()
def conditioned(
    noise_pred: Tensor,
    x_t: Signal,
    timestep: int | Tensor,
    scheduler: Any,
    observation: Observation,
    h_transform: HTransform,
) -> Tensor:
    """The prediction of a network at x_t, conditioned on an observation: it takes the place of
    `noise_pred` in `scheduler.step(noise_pred, timestep, x_t)`.

    `noise_pred` is what the scheduler calls `prediction_type` (epsilon, sample, v_prediction);
    channels beyond those of x_t, a learned variance, pass through. The observation holds one
    measurement for all signals of x_t, or one for each; it is worth keeping on their device. Raises
    `InvalidInput` for a scheduler of another kind and for shapes that do not fit, and
    `PriorNotDifferentiable` for an h-transform that needs gradients of the network.
    """
    if h_transform.needs_prior_gradient:
        raise PriorNotDifferentiable(
            f"{type(h_transform).__name__} needs gradients through the network",
            given="its prediction alone",
            expected="an h-transform without them",
            advice="use a learned one or DDNM; or wrap the network in a prior: "
            "deft.priors.diffusers.load",
        )
    stays(h_transform, "conditioned", "use a prior and a deft.Posterior, which ask it there")
    schedule = schedule_of(scheduler)
    _check(noise_pred, x_t, observation)
    t = time_of(scheduler, schedule, timestep).to(x_t.device)
    one = (1,) * (x_t.ndim - 1)
    alpha_t, sigma_t = (
        level.to(x_t).reshape(1, *one) for level in (schedule.alpha(t), schedule.sigma(t))
    )
    said, rest = noise_pred[:, : x_t.shape[1]], noise_pred[:, x_t.shape[1] :]
    kind = scheduler.config.prediction_type
    x_0_hat = predictions.prediction(kind).x_0_hat(said.to(x_t), x_t, alpha_t, sigma_t)
    if len(observation) != len(x_t):
        observation = observation.take([0] * len(x_t))
    denoised = Denoised(x_t, t, alpha_t, sigma_t, x_0_hat)
    found = x_0_hat + h_transform.shift(denoised, observation.in_dtype(x_t.dtype))
    return torch.cat([predicted(kind, found, x_t, alpha_t, sigma_t).to(noise_pred), rest], dim=1)


def predicted(kind: str, x_0_hat: Signal, x_t: Signal, alpha_t: Tensor, sigma_t: Tensor) -> Signal:
    """What a network of this prediction type would have returned for an estimate of x_0."""
    if kind == "sample":
        return x_0_hat
    if kind == "epsilon":
        return (x_t - alpha_t * x_0_hat) / sigma_t
    return (alpha_t * x_t - (alpha_t**2 + sigma_t**2) * x_0_hat) / sigma_t


def schedule_of(scheduler: Any) -> VPTabulated:
    """The noise schedule of a scheduler. Raises `InvalidInput` for one that has no table of betas,
    scales x_t, or predicts something else.
    """
    name = type(scheduler).__name__
    betas, said = getattr(scheduler, "betas", None), getattr(scheduler, "config", None)
    unit = float(getattr(scheduler, "init_noise_sigma", 0.0) or 0.0)
    if not isinstance(betas, Tensor) or said is None or unit != 1.0:
        raise InvalidInput(
            "scheduler",
            given=name,
            expected="a scheduler of diffusers with a table of betas that leaves x_t unscaled "
            "(init_noise_sigma = 1), such as DDIMScheduler or DPMSolverMultistepScheduler",
        )
    kind = getattr(said, "prediction_type", None)
    if kind not in _KNOWN:
        raise InvalidInput(
            f"{name}: prediction_type", given=kind, expected=f"one of {', '.join(_KNOWN)}"
        )
    return _table(tuple(betas.tolist()))


@lru_cache(maxsize=16)
def _table(betas: tuple[float, ...]) -> VPTabulated:
    return VPTabulated(betas)


def time_of(scheduler: Any, schedule: VPTabulated, timestep: int | Tensor) -> Tensor:
    """t in [0, 1] of an entry of the table, (1,). Raises `InvalidInput` for what is no entry, and
    for one below a log-SNR of -16, where there is no signal.
    """
    name, entries = type(scheduler).__name__, schedule.num_steps
    try:
        place = int(timestep)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InvalidInput("timestep", given=timestep, expected="one entry of the table") from error
    if not 0 <= place < entries or float(timestep) != place:
        raise InvalidInput(
            "timestep", given=float(timestep), expected=f"a whole number from 0 to {entries - 1}"
        )
    kept = scheduler.alphas_cumprod[place].double().cpu()
    log_snr = torch.log(kept / (1 - kept)).reshape(1)
    t = schedule.snap(schedule.time(log_snr))
    if not bool((schedule.log_snr(t) - log_snr).abs() < _TOLERANCE * (1 + log_snr.abs())):
        raise InvalidInput(
            f"timestep {place} of {name}",
            given=f"a log-SNR of {float(log_snr):.4g}",
            expected=f"{float(schedule.log_snr(t)):.4g}, as the betas say, and at least -16",
            advice="leave the noisiest timesteps out, or use rescale_betas_zero_snr=False",
        )
    return t


def grid(scheduler: Any) -> LogSNRCurve:
    """The times of `scheduler.timesteps` as a grid for the samplers here: `deft.DDIM(steps,
    grid=grid(scheduler))`.

    Raises `InvalidInput` where none were set, or they do not begin at the noise end and fall.
    """
    schedule = schedule_of(scheduler)
    steps = [int(one) for one in getattr(scheduler, "timesteps", ())]
    if getattr(scheduler, "num_inference_steps", None) is None or len(steps) < 2:
        raise InvalidInput(
            "scheduler",
            given="no timesteps of inference",
            expected="at least two",
            advice="call scheduler.set_timesteps(20) first",
        )
    first = float(time_of(scheduler, schedule, steps[0]))
    if first < 1 or any(b >= a for a, b in pairwise(steps)):
        raise InvalidInput(
            "scheduler.timesteps",
            given=f"{steps[0]}, {steps[1]}, ...",
            expected=f"falling ones from {schedule.num_steps - 1} on, the noise end",
            advice="make the scheduler with timestep_spacing='trailing'",
        )
    times = [time_of(scheduler, schedule, one) for one in steps[1:]]
    return LogSNRCurve([float(schedule.log_snr(t)) for t in times])


def _check(noise_pred: object, x_t: object, observation: object) -> None:
    """Raise `InvalidInput` for what does not fit together."""
    for name, value in (("x_t", x_t), ("noise_pred", noise_pred)):
        if not isinstance(value, Tensor) or value.ndim < 2 or not value.is_floating_point():
            given = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise InvalidInput(name, given=given, expected="real numbers (batch, channels, *space)")
    assert isinstance(x_t, Tensor)
    assert isinstance(noise_pred, Tensor)
    channels = x_t.shape[1]
    if (
        noise_pred.shape[1] not in (channels, 2 * channels)
        or noise_pred[:, :channels].shape != x_t.shape
    ):
        raise InvalidInput(
            "noise_pred",
            given=f"the shape {tuple(noise_pred.shape)}",
            expected=f"{tuple(x_t.shape)}, that of x_t, or twice as many channels",
        )
    if not isinstance(observation, Observation) or len(observation) not in (1, len(x_t)):
        given = (
            f"{len(observation)} measurements"
            if isinstance(observation, Observation)
            else type(observation).__name__
        )
        raise InvalidInput(
            "observation",
            given=given,
            expected=f"a deft.Observation of 1 or of {len(x_t)} measurements",
        )


_TAKEN = (
    "DDIMScheduler",
    "DEISMultistepScheduler",
    "DPMSolverMultistepScheduler",
    "UniPCMultistepScheduler",
)


@final
class SchedulerSampler(Sampler):
    """A scheduler of diffusers in the place of a sampler: its steps, with the denoiser of a prior
    or of a posterior in place of the network.

    The prior runs under the table of betas that the scheduler has. Its settings are kept, a
    `clip_sample` too. Those that draw noise are refused, for noise comes from the seeds of the
    samples here; so are those that do not begin at the noise end (`timestep_spacing="trailing"`
    does). The scheduler that was given is copied, and not touched.
    """

    def __init__(self, scheduler: Any, steps: int) -> None:
        name = type(scheduler).__name__
        if name not in _TAKEN:
            raise InvalidInput(
                "scheduler",
                given=name,
                expected=f"one of diffusers' {', '.join(_TAKEN)}",
                advice="others scale x_t, draw noise of their own, or ask the network twice a step",
            )
        if str(getattr(scheduler.config, "algorithm_type", "")).startswith("sde"):
            raise InvalidInput(
                f"{name}: algorithm_type",
                given=scheduler.config.algorithm_type,
                expected="a solver of the ODE: noise comes from the seeds of the samples",
                advice="use deft.DPMSolver(steps, eta=1)",
            )
        self.schedule = schedule_of(scheduler)
        self._made = type(scheduler).from_config(scheduler.config)
        self._made.set_timesteps(at_least_one(steps))
        self.grid = grid(self._made)
        self.steps, self.name = len(self._made.timesteps), name

    def check(
        self,
        prior: Prior,
        observation: Observation | None = None,
        h_transform: HTransform | None = None,
    ) -> None:
        """Raise `InvalidInput` also where the prior runs under another schedule."""
        super().check(prior, observation, h_transform)
        t = self.times_of(prior).double()
        theirs, ours = self.schedule.log_snr(t), prior.schedule.log_snr(t)
        alike = theirs.shape == ours.shape and torch.allclose(theirs, ours, atol=_TOLERANCE)
        if not alike or not torch.allclose(self.schedule.alpha(t), prior.schedule.alpha(t)):
            raise InvalidInput(
                "scheduler",
                given=f"the betas of {self.name}, log-SNR {float(theirs[0]):.3g} to "
                f"{float(theirs[-1]):.3g}",
                expected=f"those of {prior.name}, {float(ours[0]):.3g} to {float(ours[-1]):.3g}",
                advice="make the scheduler from the prior's own configuration, or the prior a "
                "deft.Rescheduled(prior, deft.VPTabulated(scheduler.betas.tolist()))",
            )

    def start(self, prior: Prior, noise: Noise) -> Signal:
        self._made.set_timesteps(self.steps)  # a multistep scheduler forgets
        return prior.initial(noise)

    def step(self, prior: Prior, state: State, s: Times, noise: Noise) -> State:
        return State(self._stepped(prior, state), s, state.step + 1)

    def finish(self, prior: Prior, state: State, noise: Noise) -> Signal:
        return self._stepped(prior, state)

    def _stepped(self, prior: Prior, state: State) -> Signal:
        alpha_t, sigma_t = prior.levels(state.x_t, state.t)
        x_0_hat = prior.denoise(state.x_t, state.t)
        kind = self._made.config.prediction_type
        out = predicted(kind, x_0_hat, state.x_t, alpha_t, sigma_t)
        timestep = self._made.timesteps[state.step]
        result: Signal = self._made.step(out, timestep, state.x_t).prev_sample
        return result
