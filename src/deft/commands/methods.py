"""The methods that a YAML file names: each builds what `deft evaluate` compares, once prior and
problem are known.

methods:
  DEFT:
    class_path: deft.commands.methods.DEFT
    init_args: {checkpoint: run/h.safetensors}
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import final

from deft.htransforms import dps, lgd, mcg, mmps, pigdm, tmpd
from deft.htransforms.base import HTransform
from deft.htransforms.gaussian_potential import GaussianPotential
from deft.priors.base import Prior
from deft.problems import Problem
from deft.samplers import daps, ddnm_plus, ddrm, diffpir, red_diff, replacement, smc
from deft.samplers.base import Sampler, Sampling
from deft.samplers.ddim import DDIM
from deft.samplers.dpm_solver import DPMSolver
from deft.samplers.grids import UniformLogSNR
from deft.samplers.posterior import PosteriorSampler
from deft.samplers.weights import gaussian_steps
from deft.studies.method import Method
from deft.training import chain
from deft.training import checkpoint as checkpoints


class MethodRecipe(ABC):
    """A method before prior and problem are known."""

    run_folder: Path | None = None  # of the training run whose curves belong into the report
    allow: tuple[str, ...] = ()  # modules of the user's own that a checkpoint may name

    def card(self) -> dict[str, object] | None:
        """The card of the checkpoint, where there is one."""
        return None

    @abstractmethod
    def build(self, label: str, prior: Prior, problem: Problem) -> Method:
        """The method under the name `label`."""


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
        self.checkpoint = checkpoints.located(checkpoint)
        self.sampler, self.any_problem = sampler or DPMSolver(steps=20), any_problem
        if (self.checkpoint.parent / "metrics.jsonl").exists():
            self.run_folder = self.checkpoint.parent

    def card(self) -> dict[str, object] | None:
        return checkpoints.read_card(self.checkpoint)

    def build(self, label: str, prior: Prior, problem: Problem) -> Method:
        h_transform, card = checkpoints.load(
            self.checkpoint, prior, problem=None if self.any_problem else problem, allow=self.allow
        )
        return Method(label, h_transform, self.sampler, training_seconds=chain.seconds(card))


class _Guided(MethodRecipe):
    """An h-transform in each of `steps` steps of DDIM(eta); `images` limits it to the first few
    images.
    """

    steps: int
    eta: float
    images: int | None
    notes: str = ""

    @abstractmethod
    def h_transform(self) -> HTransform:
        """The h-transform, which is bound to the steps when sampling starts."""

    def build(self, label: str, prior: Prior, problem: Problem) -> Method:
        return Method(
            label,
            self.h_transform(),
            DDIM(steps=self.steps, eta=self.eta),
            notes=self.notes,
            images=self.images,
        )


@final
class DPS(_Guided):
    """DPS as published: the step size `zeta` in each of `steps` ancestral steps; `images` limits it
    to the first few images.
    """

    def __init__(
        self, zeta: float = 1.0, steps: int = 100, eta: float = 1.0, images: int | None = None
    ) -> None:
        self.zeta, self.steps, self.eta, self.images, self.notes = (
            zeta,
            steps,
            eta,
            images,
            f"zeta = {zeta:g}",
        )

    def h_transform(self) -> HTransform:
        return dps.DPS.published(self.zeta)


@final
class PiGDM(_Guided):
    """PiGDM as published: its step in each of `steps` steps of DDIM(eta); `scale` is the standard
    deviation of x_0 that it supposes.
    """

    def __init__(
        self, scale: float = 1.0, steps: int = 100, eta: float = 1.0, images: int | None = None
    ) -> None:
        self.scale, self.steps, self.eta, self.images, self.notes = (
            scale,
            steps,
            eta,
            images,
            f"scale = {scale:g}",
        )

    def h_transform(self) -> HTransform:
        return pigdm.PiGDM.published(self.scale)


@final
class MCG(_Guided):
    """MCG as published: the size of its gradient, `step`, in each of `steps` ancestral steps."""

    def __init__(
        self, step: float = 1.0, steps: int = 100, eta: float = 1.0, images: int | None = None
    ) -> None:
        self.step, self.steps, self.eta, self.images, self.notes = (
            step,
            steps,
            eta,
            images,
            f"step = {step:g}",
        )

    def h_transform(self) -> HTransform:
        return mcg.MCG.published(self.step)


@final
class LGD(_Guided):
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
        self.zeta, self.points, self.steps, self.eta, self.images = zeta, points, steps, eta, images
        self.notes = f"zeta = {zeta:g}, {points} points"

    def h_transform(self) -> HTransform:
        return lgd.LGD.published(self.zeta, points=self.points)


@final
class TMPD(_Guided):
    """TMPD in the paper's form for images, in each of `steps` ancestral steps."""

    def __init__(self, steps: int = 100, eta: float = 1.0, images: int | None = None) -> None:
        self.steps, self.eta, self.images = steps, eta, images

    def h_transform(self) -> HTransform:
        return tmpd.TMPD()


@final
class MMPS(_Guided):
    """MMPS with `iterations` of conjugate gradients in each of `steps` ancestral steps."""

    def __init__(
        self, iterations: int = 1, steps: int = 100, eta: float = 1.0, images: int | None = None
    ) -> None:
        self.iterations, self.steps, self.eta, self.images = iterations, steps, eta, images
        self.notes = f"{iterations} iteration{'s' * (iterations > 1)}"

    def h_transform(self) -> HTransform:
        return mmps.MMPS(self.iterations)


class _ByItself(MethodRecipe):
    """A sampler that conditions by itself; `images` limits it to the first few images."""

    def __init__(
        self, sampler: PosteriorSampler, images: int | None = None, notes: str = ""
    ) -> None:
        self.sampler, self.images, self.notes = sampler, images, notes

    @final
    def build(self, label: str, prior: Prior, problem: Problem) -> Method:
        return Method(label, None, self.sampler, notes=self.notes, images=self.images)


@final
class DDNMPlus(_ByItself):
    """DDNM+, and DDNM where sigma_y = 0."""

    def __init__(self, steps: int = 100, eta: float = 0.85, images: int | None = None) -> None:
        super().__init__(ddnm_plus.DDNMPlus(steps=steps, eta=eta), images, f"eta = {eta:g}")


@final
class DiffPIR(_ByItself):
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
class REDDiff(_ByItself):
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
class DDRM(_ByItself):
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
class Replacement(_ByItself):
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
class DAPS(_ByItself):
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
        self.proposal, self.particles, self.threshold, self.images = (
            proposal,
            particles,
            threshold,
            images,
        )
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
        notes = "; ".join([f"{self.particles} particles", *([made.notes] if made.notes else [])])
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
        self.h_transform, self.sampler, self.images = (
            h_transform,
            sampler or DPMSolver(steps=20),
            images,
        )

    def build(self, label: str, prior: Prior, problem: Problem) -> Method:
        return Method(label, self.h_transform, self.sampler, images=self.images)
