"""A trained h-transform with what it belongs to: its prior and its problem, from one name.

    loaded = deft.load("h-natural-64-inpainting")
    loaded(y, operator=A)                                   samples of p(x_0 | y)
    deft.Posterior(loaded.prior, loaded.h, observation)     the posterior, for any sampler

    large = loaded.tiled((3, 512, 768))     # the same for pictures larger than the prior

A file names its prior (`prior_from`) and its problem; nothing that it names is downloaded, and no
class outside the library is built unless the caller allows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from deft.errors import CheckpointError, InvalidInput
from deft.htransforms.base import HTransform
from deft.htransforms.tiled import TiledHTransform
from deft.likelihoods import Observation
from deft.metrics.intervals import Intervals
from deft.noise import Noise
from deft.operators.base import ForwardOperator
from deft.posterior import Posterior
from deft.priors import resolve
from deft.priors.base import Prior
from deft.priors.tiled import Tiled
from deft.priors.tiles import Layout
from deft.problems import Problem, from_card
from deft.samplers.arguments import Seed
from deft.samplers.base import Sampler
from deft.storage.cards import Allow
from deft.training import checkpoint, places
from deft.training.validated import sampler_of
from deft.types import Measurement

_DRAWN = 3  # operators that are compared


@final
@dataclass(frozen=True)
class Loaded:
    """An h-transform `h`, ready to sample, the `prior` that it was trained for, and the `problem`
    that it was trained on; `sampler` is the one that it was validated with, or the usual one;
    `intervals` those that `deft conformal` calibrated, if it did.
    """

    h: HTransform
    prior: Prior
    problem: Problem
    sampler: Sampler
    intervals: Intervals | None = None

    def __call__(
        self,
        y: Measurement,
        *,
        operator: ForwardOperator | None = None,
        sigma_y: float | None = None,
        num_samples: int = 8,
        seed: Seed = 0,
        batch_size: int | None = 64,
        progress: bool = False,
    ) -> Float[Tensor, "observations samples *event"]:
        """Posterior samples for a batch of measurements: (observations, samples, *event).

        `operator` measured y, with parameters for each of them or one for all; by default the
        problem's, where it has one and draws none. `sigma_y` is the standard deviation of the
        noise in the units of y, by default the problem's. `batch_size` is the largest number of
        signals denoised at once. Raises `InvalidInput` where either is not known, and for an
        operator that h was not made for.
        """
        if operator is None:
            operator = self._operator()
        likelihood = self.problem.likelihood(operator, y, sigma_y)
        posterior = Posterior(self.prior, self.h, Observation(y, likelihood))
        return self.sampler(
            posterior, num_samples, seed=seed, batch_size=batch_size, progress=progress
        )

    def _operator(self) -> ForwardOperator:
        """The problem's, where it is the same whatever the seed."""
        x_0 = torch.zeros(1, *self.prior.signal_shape, device=self.prior.device)
        drawn = [self.problem.operator(x_0, Noise([seed])) for seed in range(_DRAWN)]
        first, name = dict(drawn[0].named_buffers()), type(self.problem).__name__
        for other in drawn[1:]:
            theirs = dict(other.named_buffers())
            if first.keys() != theirs.keys() or not all(
                torch.equal(first[k], v) for k, v in theirs.items()
            ):
                raise InvalidInput(
                    "operator",
                    given="nothing",
                    expected=f"the operator that measured y: {name} draws one for each signal",
                    advice="give operator=, such as deft.operators.Inpainting(mask)",
                )
        return drawn[0]

    def tiled(
        self,
        event_shape: Sequence[int],
        *,
        overlap: int | None = None,
        batch: int | None = None,
        layout: Layout = "moving",
    ) -> Loaded:
        """The same for pictures of the shape `event_shape`, larger than the prior's, by overlapping
        tiles (deft.priors.tiled): an approximation.

        `overlap`, `batch` and `layout` are as in `Tiled`. Raises `InvalidInput` where tiles do not
        fit, and for an h-transform that cannot work on them.
        """
        h = TiledHTransform(self.h, event_shape, overlap=overlap, batch=batch, layout=layout)
        return replace(
            self,
            h=h.eval(),
            prior=Tiled(self.prior, event_shape, overlap=overlap, batch=batch, layout=layout),
        )


def load(
    place: str | Path, *, prior: str | Path | Prior | None = None, allow: Allow = ()
) -> Loaded:
    """The h-transform at `place` (the name of one that ships, a run folder, or a file) with its
    prior and its problem, in evaluation mode.

    `prior` replaces the one that the card names: a name, a path, or the prior itself; only what the
    caller names is downloaded. `allow` names modules of the user's own that the file may name, and
    folders whose mask files may be read. Raises `CheckpointError` for files that are damaged or
    belong to another prior, and `InvalidInput` for what cannot be built.
    """
    if not isinstance(place, str | Path):
        raise InvalidInput(
            "place",
            given=type(place).__name__,
            expected="a name, a run folder, or a file: of type str or Path",
            advice="see deft list",
        )
    path = places.located(place)
    card = checkpoint.read_card(path)
    if card.get("problem") is None:
        raise CheckpointError(
            f"the problem on the card of {path}",
            given="nothing",
            expected="the problem that it was trained on",
            advice="load it with deft.training.checkpoint.load(path, prior), and make the problem "
            "yourself",
        )
    network = _prior(path, card, prior, allow)
    problem = from_card(card["problem"], allow=allow)
    h, _ = checkpoint.load(path, network, allow=allow)
    return Loaded(h.eval(), network, problem, sampler_of(card), Intervals.of(card))


def _prior(
    path: Path, card: dict[str, object], given: str | Path | Prior | None, allow: Allow
) -> Prior:
    if isinstance(given, Prior):
        return given
    if given is not None:
        if not isinstance(given, str | Path):
            raise InvalidInput(
                "prior", given=type(given).__name__, expected="a name, a path, or a Prior"
            )
        return resolve.load(given, allow=allow)
    name = card.get("prior_from")
    if not isinstance(name, str):
        raise CheckpointError(
            f"the card of {path}",
            given="a card that does not say where its prior comes from",
            expected="prior_from, a name or a path",
            advice="give the prior: prior=",
        )
    return resolve.load(name, fetch=False, allow=allow)
