"""The prior that a command line names, with what its folder does not say itself."""

from __future__ import annotations

from pathlib import Path

from deft.priors import resolve
from deft.priors.base import Prior

Labels = int | list[int]
Names = str | list[str]

HELP = {
    "labels": "the classes of a class-conditional prior: one for all images, or a list with one for each",
    "subfolder": "which network of a diffusers folder that holds several, such as unet_ema",
    "schedule": f"the noise schedule of a diffusers folder that does not say: {', '.join(resolve.SCHEDULES)}",
    "prediction_type": "what the network of a diffusers folder predicts, where that is not said: epsilon, sample, v_prediction",
}
ALLOW_HELP = "a module of your own whose classes and functions a file may name (deepinv for physics of deepinv), or a folder whose masks it may read; can be given several times"


def opened(
    name: str | Path, labels: Labels | None, subfolder: str | None, schedule: str | None, prediction_type: str | None, fetch: bool = True
) -> Prior:
    """The prior of a command. With `fetch=False` (a name out of a file) nothing is downloaded."""
    several = [labels] if isinstance(labels, int) else labels
    return resolve.load(name, labels=several, subfolder=subfolder, schedule=schedule, prediction_type=prediction_type, fetch=fetch)


def names(allow: Names | None) -> tuple[str, ...]:
    """What the user allows files to name."""
    return () if allow is None else (allow,) if isinstance(allow, str) else tuple(allow)
