"""How y comes from the file that a user drops: the ways that an h-transform knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

from deft.errors import InvalidInput
from deft.pipeline.operators import needed
from deft.pipeline.pipeline import DeftPipeline
from deft.problems import Problem

PAINTED = "What I paint over is missing"
GIVEN = "The file is the measurement y itself"
DRAWN = "Clean, measured first by "
_SHOWN = 3  # arguments of a problem


@final
@dataclass(frozen=True)
class Way:
    """One of them: `label` on the page, whether what is missing is painted (`paints`), the problem
    that measures the picture first, if one does, what a second file must say (`needs`: "mask",
    "kernel", "angles" or nothing), and the noise level that it begins with.

    `sigma_y` is None where the problem has a law of noise of its own.
    """

    label: str
    paints: bool = False
    problem: Problem | None = None
    needs: str = ""
    sigma_y: float | None = None


def ways(pipe: DeftPipeline) -> list[Way]:
    """All of them, the one to begin with first. Raises `InvalidInput` for a pipeline whose signals
    are no pictures.
    """
    shape = tuple(pipe.prior.signal_shape)
    if len(shape) != 3 or shape[0] not in (1, 3):
        raise InvalidInput(
            "h",
            given=f"an h-transform for signals of shape {shape}",
            expected="one for pictures, of 1 or 3 channels",
            advice="deft sample draws for any signals",
        )
    parts: list[Problem] = getattr(pipe.problem, "problems", [pipe.problem])
    level = _level(pipe.problem)
    found = []
    if any(_is_painted(part) for part in parts):
        found.append(Way(PAINTED, paints=True, sigma_y=level))
    found += [Way(DRAWN + said(part), problem=part, sigma_y=level) for part in parts]
    kind = needed(pipe.prior, pipe.problem)
    if kind != "operator":
        found.append(Way(GIVEN, needs=kind, sigma_y=level))
    return found


def said(problem: Problem) -> str:
    """A problem with the first few of its arguments, without its noise: SuperResolution(factor=4,
    kernel=average).
    """
    card = problem.card()
    args = card.get("args")
    inside = args if isinstance(args, Mapping) else {}
    known = [
        f"{name}={_short(value)}"
        for name, value in inside.items()
        if value is not None and name not in ("sigma_y", "relative_noise")
    ]
    return f"{str(card['class']).rpartition('.')[2]}({', '.join(known[:_SHOWN])})"


def _short(value: object) -> str:
    if isinstance(value, Mapping) and "class" in value:
        args = value.get("args")
        inside = args if isinstance(args, Mapping) else {}
        known = ", ".join(f"{name}={v}" for name, v in inside.items() if v is not None)
        return f"{str(value['class']).rpartition('.')[2]}({known})"
    return str(value)


def _is_painted(problem: Problem) -> bool:
    return str(problem.card()["class"]).rpartition(".")[2] == "Inpainting"


def _level(problem: Problem) -> float | None:
    """The level that a field begins with: the problem's, or 0.05 where it draws one around that,
    or the lowest that it draws.
    """
    args = problem.card().get("args")
    if not isinstance(args, Mapping) or "sigma_y" not in args or args.get("photons") is not None:
        return None
    if args.get("relative") or not isinstance(problem.sigma_y, (int, float, tuple)):
        return None
    if isinstance(problem.sigma_y, tuple):
        low, high = problem.sigma_y
        return 0.05 if low <= 0.05 <= high else low
    return float(problem.sigma_y)
