"""What an evaluation compares, a method being an h-transform with a sampler, and how a run folder
tells one from another.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

from torch import Tensor, nn

from deft.errors import DeftError, InvalidInput
from deft.htransforms.base import HTransform, NoConditioning
from deft.likelihoods import Observation
from deft.metrics.intervals import Intervals
from deft.posterior import Posterior
from deft.priors.base import Prior
from deft.samplers.arguments import Seed
from deft.samplers.base import Draws, Sampling, Watch
from deft.storage.fingerprint import digest, of_state
from deft.storage.table import public_name


@final
@dataclass(frozen=True)
class Method:
    """What is compared: an h-transform (None: the prior alone) with a sampler.

    `training_seconds` is what the h-transform took to learn; `tuned` the table of a tuned
    parameter, as it should stand in the report; `images` limits an expensive method to the first
    few images; `intervals` are those that were calibrated for it, and change no sample; `learned`
    is the card of the h-transform, where it has one.
    """

    label: str
    h_transform: HTransform | None
    sampler: Sampling
    training_seconds: float = 0.0
    tuned: Mapping[str, object] | None = None
    notes: str = ""
    images: int | None = None
    intervals: Intervals | None = None
    learned: Mapping[str, object] | None = None

    def __post_init__(self) -> None:
        if self.images is not None and self.images < 1:
            raise InvalidInput(
                "images",
                given=self.images,
                expected="how many of the first images the method is run on, at least 1",
                advice="leave it out for all",
            )

    @property
    def folder(self) -> str:
        """The label as a folder's name."""
        return folder_name(self.label)

    def card(self) -> dict[str, object]:
        """What its samples depend on."""
        return {
            "label": self.label,
            "h_transform": describe(self.h_transform),
            "sampler": describe(self.sampler),
        }

    def posterior(self, prior: Prior, observation: Observation) -> Posterior:
        """What a sampler of posteriors sees; the h-transform is moved to the prior's device."""
        return Posterior(
            prior, (self.h_transform or NoConditioning()).to(prior.device).eval(), observation
        )

    def samples(
        self,
        prior: Prior,
        observation: Observation,
        num_samples: int,
        *,
        seed: Seed,
        batch_size: int | None = None,
        on_step: Watch | None = None,
    ) -> Draws:
        """`num_samples` for each observation."""
        h_transform = None if self.h_transform is None else self.h_transform.to(prior.device).eval()
        return self.sampler.draw(
            prior,
            num_samples,
            observation=observation,
            h_transform=h_transform,
            seed=seed,
            batch_size=batch_size,
            on_step=on_step,
        )

    @property
    def own_evaluations(self) -> float:
        """Evaluations of networks of the method's own for each one of the prior."""
        if self.h_transform is None:
            return 0
        twice = self.sampler.asks_twice and self.h_transform.asks_elsewhere
        return self.h_transform.network_evaluations_per_step / (2 if twice else 1)

    @property
    def conditions(self) -> bool:
        """Whether the measurement has a say."""
        return self.sampler.conditions or (
            self.h_transform is not None and self.h_transform.conditions
        )

    def check(self, prior: Prior, observation: Observation) -> None:
        """Raise where the method does not apply to a prior or an observation, with its label; the
        prior is not evaluated.
        """
        try:
            h_transform = (
                None if self.h_transform is None else self.h_transform.to(prior.device).eval()
            )
            self.sampler.check(prior, observation, h_transform)
        except DeftError as error:
            raise type(error)(
                f"{self.label}: {error.what}",
                given=error.given,
                expected=error.expected,
                advice=error.advice,
            ) from error


def folder_name(label: str) -> str:
    """A label in small letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-") or "method"


def describe(value: object) -> object:
    """An object as JSON: its class and its public attributes; weights and tensors by their hash.

    A function is its name alone, so that two lambdas look the same.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Tensor):
        return digest(f"{tuple(value.shape)}", value.detach().cpu().float().numpy().tobytes())[:16]
    if isinstance(value, Mapping):
        return {str(key): describe(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [describe(item) for item in value]
    kind = (
        value
        if isinstance(value, type) or not hasattr(value, "__dict__") or hasattr(value, "__code__")
        else type(value)
    )
    path = f"{getattr(kind, '__module__', '')}.{getattr(kind, '__qualname__', repr(kind))}"
    if kind is value:
        return path
    card: dict[str, object] = {"class": public_name(kind)}  # type: ignore[arg-type]
    card |= {
        name: describe(item)
        for name, item in vars(value).items()
        if not name.startswith("_") and name not in ("training", "trained_sigma_y", "distilled_for")
    }
    if isinstance(value, nn.Module):
        card["hash"] = of_state(value)
        card |= {
            name: describe(part)
            for name, part in value.named_modules()
            if name and isinstance(part, HTransform)
        }
    return card
