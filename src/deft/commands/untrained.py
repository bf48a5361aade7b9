"""What `deft train` starts from, an h-transform that has learned nothing or one of a file, and what
it minimises.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path

import torch

from deft import checks
from deft.commands import catalogue
from deft.errors import InvalidInput
from deft.htransforms.base import HTransform
from deft.htransforms.learned import LearnedHTransform, Operators
from deft.htransforms.pivot import Where
from deft.noise import mix
from deft.priors.base import Prior
from deft.problems import Problem
from deft.storage.tensors import kind_of
from deft.training import checkpoint, places, state
from deft.training.base import Objective
from deft.training.denoising import DenoisingScoreMatching, TimeLaw


def untrained(
    prior: Prior,
    fraction: float | None,
    seed: int,
    form: type[HTransform] = LearnedHTransform,
    patch: int | None = None,
    operators: Operators | None = None,
    point: Where | None = None,
) -> HTransform:
    """A new h-transform, whose first weights depend on the seed alone: a run that was killed before
    it saved anything starts where it did.

    `fraction`, `patch`, `operators` and `point` are by default what its class takes. Raises
    `InvalidInput` for a class that cannot be made for a prior in this way, or has no such choice.
    """
    make = getattr(form, "for_prior", None)
    if make is None or "fraction" not in inspect.signature(make).parameters:
        raise InvalidInput(
            "--h_transform",
            given=form.__name__,
            expected="an h-transform that is learned: LearnedHTransform, PaperHTransform or "
            "ConditionalScore, for example",
        )
    sizes = {"fraction": fraction, "patch": _checked(patch, make, form, prior)}
    choices: dict[str, object] = {"operators": operators, "point": point}
    given = {name: value for name, value in (sizes | choices).items() if value is not None}
    for name in given:
        if name not in inspect.signature(make).parameters:
            raise InvalidInput(
                name,
                given=given[name],
                expected=f"nothing with {form.__name__}, which has no such choice",
                advice="leave it out, or train LearnedHTransform",
            )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(mix(seed, 21))
        result: HTransform = make(prior, **given)
        return result


def _checked(
    patch: int | None, make: Callable[..., object], form: type[HTransform], prior: Prior
) -> int | None:
    if patch is None:
        return None
    if "patch" not in inspect.signature(make).parameters:
        raise InvalidInput(
            "patch", given=patch, expected=f"nothing: {form.__name__} reads no patches"
        )
    return checks.whole(
        "patch",
        patch,
        most=max(prior.event_shape[1:], default=1),
        meaning=f"the side of a patch of the {tuple(prior.event_shape)} signals",
        advice="twice the usual side is half the resolution",
    )


def loaded(
    initial: Path, prior: Prior, form: type[HTransform] | None, allow: tuple[str, ...]
) -> HTransform:
    """The h-transform of a checkpoint, of the class asked for, if any is."""
    path = places.fetched(initial)
    if kind_of(path) == state.KIND:
        found = checkpoint.load_average(path, prior, allow=allow)
    else:
        found = checkpoint.load(path, prior, allow=allow)[0]
    found = found.trainable()
    if form is not None and type(found) is not form:
        raise InvalidInput(
            f"{initial} holds a {type(found).__name__} and --h_transform asks for "
            f"{form.__name__}; leave one of the two out."
        )
    return found


def objective_of(
    name: str | None, problem: Problem, times: TimeLaw | None, per_evaluation: int = 1
) -> Objective:
    """What is minimised: denoising score matching, or a class that is made from the problem."""
    if name is None:
        return DenoisingScoreMatching(problem, times=times, per_evaluation=per_evaluation)
    made = catalogue.named("objectives", name)
    try:
        found: Objective = made(problem)
    except TypeError as error:
        raise InvalidInput(
            "objective",
            given=name,
            expected="a class of objectives that is made from the problem alone",
            advice=f"calling it said: {error}",
        ) from error
    return found
