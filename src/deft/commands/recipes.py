"""A method of an evaluation before prior and problem are known."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import final

from deft.htransforms.base import HTransform
from deft.priors.base import Prior
from deft.problems import Problem
from deft.samplers.ddim import DDIM
from deft.samplers.posterior import PosteriorSampler
from deft.studies.method import Method


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


class Guided(MethodRecipe):
    """An h-transform in each of `steps` steps of DDIM(eta), to which it is bound when sampling
    starts; `images` limits it to the first few images.
    """

    def __init__(
        self, h_transform: HTransform, steps: int, eta: float, images: int | None, notes: str = ""
    ) -> None:
        self.h_transform, self.sampler = h_transform, DDIM(steps=steps, eta=eta)
        self.images, self.notes = images, notes

    @final
    def build(self, label: str, prior: Prior, problem: Problem) -> Method:
        return Method(label, self.h_transform, self.sampler, notes=self.notes, images=self.images)


class ByItself(MethodRecipe):
    """A sampler that conditions by itself; `images` limits it to the first few images."""

    def __init__(
        self, sampler: PosteriorSampler, images: int | None = None, notes: str = ""
    ) -> None:
        self.sampler, self.images, self.notes = sampler, images, notes

    @final
    def build(self, label: str, prior: Prior, problem: Problem) -> Method:
        return Method(label, None, self.sampler, notes=self.notes, images=self.images)
