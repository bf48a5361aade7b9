"""The methods that a YAML file names: each builds what `deft evaluate` compares, once prior and
problem are known.

methods:
  DEFT:
    class_path: deft.commands.methods.DEFT
    init_args: {checkpoint: run/h.safetensors}
"""

from __future__ import annotations

from pathlib import Path
from typing import final

from deft.commands.recipes import ByItself, Guided, MethodRecipe
from deft.errors import InvalidInput
from deft.htransforms import dps, lgd, mcg, mmps, pigdm, tmpd
from deft.htransforms.base import HTransform
from deft.htransforms.gaussian_potential import GaussianPotential
from deft.metrics.intervals import Intervals
from deft.priors.base import Prior
from deft.problems import Problem
from deft.samplers import daps, ddnm_plus, ddrm, diffpir, red_diff, replacement, smc
from deft.samplers.base import Sampler, Sampling
from deft.samplers.ddim import DDIM
from deft.samplers.dpm_solver import DPMSolver
from deft.samplers.grids import UniformLogSNR
from deft.samplers.weights import gaussian_steps
from deft.studies.method import Method
from deft.studies.words import number
from deft.training import chain, places
from deft.training import checkpoint as checkpoints


@final
class Unconditional(MethodRecipe):
    """The prior alone: what every method is compared with."""

    def __init__(self, sampler: Sampler | None = None) -> None:
        self.sampler = sampler or DPMSolver(steps=20)

    def build(self, label: str, prior: Prior, problem: Problem) -> Method:
        return Method(label, None, self.sampler, notes="does not see the measurement")


@final
class DEFT(MethodRecipe):
    """What `deft train` learned, from its run folder: an h-transform, or a conditional network read
    as one. It must have been trained for this prior and, unless `any_problem`, this problem.
    """

    def __init__(
        self, checkpoint: Path, sampler: Sampler | None = None, any_problem: bool = False
    ) -> None:
        self.checkpoint = places.fetched(checkpoint)
        self.sampler, self.any_problem = sampler or DPMSolver(steps=20), any_problem
        if (self.checkpoint.parent / "metrics.jsonl").exists():
            self.run_folder = self.checkpoint.parent

    def card(self) -> dict[str, object] | None:
        return checkpoints.read_card(self.checkpoint)

    def build(self, label: str, prior: Prior, problem: Problem) -> Method:
        h_transform, card = checkpoints.load(
            self.checkpoint, prior, problem=None if self.any_problem else problem, allow=self.allow
        )
        intervals, seconds = Intervals.of(card), chain.seconds(card)
        return Method(label, h_transform, self.sampler, seconds, intervals=intervals, learned=card)


@final
class DPS(Guided):
    """DPS as published: the step size `zeta` in each of `steps` ancestral steps; `images` limits it
    to the first few images.
    """

    def __init__(
        self, zeta: float = 1.0, steps: int = 100, eta: float = 1.0, images: int | None = None
    ) -> None:
        super().__init__(dps.DPS.published(zeta), steps, eta, images, f"zeta = {zeta:g}")


@final
class PiGDM(Guided):
    """PiGDM as published: its step in each of `steps` steps of DDIM(eta); `scale` is the standard
    deviation of x_0 that it supposes.
    """

    def __init__(
        self, scale: float = 1.0, steps: int = 100, eta: float = 1.0, images: int | None = None
    ) -> None:
        super().__init__(pigdm.PiGDM.published(scale), steps, eta, images, f"scale = {scale:g}")


@final
class MCG(Guided):
    """MCG as published: the size of its gradient, `step`, in each of `steps` ancestral steps."""

    def __init__(
        self, step: float = 1.0, steps: int = 100, eta: float = 1.0, images: int | None = None
    ) -> None:
        super().__init__(mcg.MCG.published(step), steps, eta, images, f"step = {step:g}")


@final
class LGD(Guided):
    """Loss guidance with the step size `zeta` of DPS and `points` points, in each of `steps`
    ancestral steps.
    """

    def __init__(
        self,
        zeta: float = 1.0,
        points: int = 10,
        steps: int = 100,
        eta: float = 1.0,
        images: int | None = None,
    ) -> None:
        h, notes = lgd.LGD.published(zeta, points=points), f"zeta = {zeta:g}, {points} points"
        super().__init__(h, steps, eta, images, notes)


@final
class TMPD(Guided):
    """TMPD in the paper's form for images, in each of `steps` ancestral steps."""

    def __init__(self, steps: int = 100, eta: float = 1.0, images: int | None = None) -> None:
        super().__init__(tmpd.TMPD(), steps, eta, images)


@final
class MMPS(Guided):
    """MMPS with `iterations` of conjugate gradients in each of `steps` ancestral steps."""

    def __init__(
        self, iterations: int = 1, steps: int = 100, eta: float = 1.0, images: int | None = None
    ) -> None:
        super().__init__(mmps.MMPS(iterations), steps, eta, images, number(iterations, "iteration"))


@final
class DDNMPlus(ByItself):
    """DDNM+, and DDNM where sigma_y = 0."""

    def __init__(self, steps: int = 100, eta: float = 0.85, images: int | None = None) -> None:
        super().__init__(ddnm_plus.DDNMPlus(steps=steps, eta=eta), images, f"eta = {eta:g}")


@final
class DiffPIR(ByItself):
    """DiffPIR as published; `weight` is its lambda, `zeta` the share of fresh noise in each of
    `steps` steps.
    """

    def __init__(
        self, steps: int = 100, weight: float = 1.0, zeta: float = 0.1, images: int | None = None
    ) -> None:
        super().__init__(
            diffpir.DiffPIR(steps=steps, weight=weight, zeta=zeta),
            images,
            f"lambda = {weight:g}, zeta = {zeta:g}",
        )


@final
class REDDiff(ByItself):
    """RED-diff as published; `weight` is its lambda, `learning_rate` that of its Adam."""

    def __init__(
        self,
        steps: int = 1000,
        weight: float = 0.25,
        learning_rate: float = 0.1,
        images: int | None = None,
    ) -> None:
        super().__init__(
            red_diff.REDDiff(steps=steps, weight=weight, learning_rate=learning_rate),
            images,
            f"lambda = {weight:g}",
        )


@final
class DDRM(ByItself):
    """DDRM as published; `eta` is the share of fresh noise, `eta_b` that of the measurement."""

    def __init__(
        self, steps: int = 20, eta: float = 0.85, eta_b: float = 1.0, images: int | None = None
    ) -> None:
        super().__init__(
            ddrm.DDRM(steps=steps, eta=eta, eta_b=eta_b),
            images,
            f"eta = {eta:g}, eta_b = {eta_b:g}",
        )


@final
class Replacement(ByItself):
    """Replacement with RePaint's time travel as published: `resamplings` passes over each
    `jump_length` of `steps` steps.
    """

    def __init__(
        self,
        steps: int = 250,
        jump_length: int = 10,
        resamplings: int = 10,
        images: int | None = None,
    ) -> None:
        sampler = replacement.Replacement(
            steps=steps, jump_length=jump_length, resamplings=resamplings
        )
        super().__init__(sampler, images, f"{resamplings} resamplings")


@final
class DAPS(ByItself):
    """DAPS-1K as published, with Langevin dynamics; `noise_level` is what it takes for sigma_y,
    null the measurement's own.
    """

    def __init__(
        self,
        steps: int = 200,
        ode_steps: int = 5,
        langevin_steps: int = 100,
        step_size: float = 1e-4,
        noise_level: float | None = 0.01,
        images: int | None = None,
    ) -> None:
        sampler = daps.DAPS(steps, ode_steps, langevin_steps, step_size, noise_level=noise_level)
        super().__init__(sampler, images, f"step size {step_size:g}")


@final
class TwistedSMC(MethodRecipe):
    """Twisted SMC: `particles` for each image, which the method `proposal` moves, with DDIM(eta >
    0) as its sampler; samples are chosen from them by weight.

    Without a `proposal` the twist itself, a Gaussian potential, guides in 100 ancestral steps.
    """

    def __init__(
        self,
        proposal: MethodRecipe | None = None,
        particles: int = 64,
        threshold: float = 0.5,
        images: int | None = None,
    ) -> None:
        self.proposal, self.particles = proposal, particles
        self.threshold, self.images = threshold, images
        self.run_folder = proposal.run_folder if proposal else None

    def card(self) -> dict[str, object] | None:
        return self.proposal.card() if self.proposal else None

    def build(self, label: str, prior: Prior, problem: Problem) -> Method:
        twist = GaussianPotential.for_prior(prior)
        own = Given(twist, DDIM(steps=100, eta=1.0, grid=UniformLogSNR()))
        if self.proposal:
            self.proposal.allow = self.allow
        made = (self.proposal or own).build(label, prior, problem)
        steps = gaussian_steps(made.sampler, "the proposal of TwistedSMC")
        twisted = smc.TwistedSMC(
            twist, steps.steps, eta=steps.eta, threshold=self.threshold, grid=steps.grid
        )
        notes = "; ".join(filter(None, [f"{self.particles} particles", made.notes]))
        sampler = smc.ResampledSMC(twisted, self.particles)
        return Method(
            label,
            made.h_transform,
            sampler,
            training_seconds=made.training_seconds,
            notes=notes,
            images=self.images,
        )


@final
class Given(MethodRecipe):
    """Any h-transform, a user's own too, with any sampler; a sampler that conditions by itself
    takes none.
    """

    def __init__(
        self,
        h_transform: HTransform | None = None,
        sampler: Sampling | None = None,
        images: int | None = None,
    ) -> None:
        self.h_transform, self.images = h_transform, images
        self.sampler = sampler or DPMSolver(steps=20)
        if h_transform is None and not self.sampler.conditions:
            expected = "a value: Given needs it, unless its sampler conditions by itself"
            raise InvalidInput("h_transform", given="nothing", expected=expected)

    def build(self, label: str, prior: Prior, problem: Problem) -> Method:
        return Method(label, self.h_transform, self.sampler, images=self.images)
