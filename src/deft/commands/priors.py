"""The prior that a command line names, with what its folder does not say itself."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from deft.errors import InvalidInput
from deft.priors import diffusers_schedulers, resolve
from deft.priors.base import Prior
from deft.priors.details import Details

Labels = int | list[int]
Names = str | list[str]

HELP = {
    "labels": "the classes of a class-conditional prior: one for all images, or a list with one "
    "for each",
    "subfolder": "which network of a diffusers folder that holds several, such as unet_ema",
    "schedule": "the noise schedule of a diffusers folder or a checkpoint that does not say: "
    f"{', '.join(diffusers_schedulers.NAMED)}",
    "prediction_type": "what the network of a diffusers folder or a checkpoint predicts, where "
    "that is not said: epsilon, sample, v_prediction",
    "details": "what a file of weights alone (a .pt of guided-diffusion, say) does not say of its "
    "network: --details.num_head_channels 64 (or num_heads), --details.attention_order legacy, "
    "--details.image_size 256, --details.value_range [-1,1], or --details.config FILE "
    "(Genie's configuration, say); deft inspect FILE says what is missing",
}
ALLOW_HELP = (
    "a module of your own whose classes and functions a file may name (deepinv for physics of "
    "deepinv), or a folder whose masks it may read; can be given several times"
)


def opened(
    name: str | Path,
    labels: Labels | None,
    subfolder: str | None,
    schedule: str | None,
    prediction_type: str | None,
    fetch: bool = True,
    allow: tuple[str, ...] = (),
    details: Details | None = None,
) -> Prior:
    """The prior of a command that evaluates it. With `fetch=False` (a name out of a file) nothing
    is downloaded. Raises `InvalidInput` for a class-conditional one without labels.
    """
    prior = described(name, labels, subfolder, schedule, prediction_type, fetch, allow, details)
    classes = getattr(prior, "num_classes", None)
    if classes is not None and labels is None:
        expected = (
            f"the classes to sample, of {prior.name}: whole numbers from 0 to {classes - 1}, one "
            "for all images or a list"
        )
        raise InvalidInput(
            "labels", given="nothing", expected=expected, advice="such as --labels 0"
        )
    return prior


def described(
    name: str | Path,
    labels: Labels | None,
    subfolder: str | None,
    schedule: str | None,
    prediction_type: str | None,
    fetch: bool = True,
    allow: tuple[str, ...] = (),
    details: Details | None = None,
) -> Prior:
    """The prior, which need not be ready to be evaluated."""
    several = [labels] if isinstance(labels, int) else labels
    return resolve.load(
        name,
        labels=several,
        subfolder=subfolder,
        schedule=schedule,
        prediction_type=prediction_type,
        details=details,
        fetch=fetch,
        allow=allow,
    )


def names(allow: Names | None) -> tuple[str, ...]:
    """What the user allows files to name. Raises `InvalidInput` for what is neither a module nor a
    folder.
    """
    given = () if allow is None else (allow,) if isinstance(allow, str) else tuple(allow)
    for name in given:
        if name != "deepinv" and not Path(name).exists() and not _is_module(name):
            raise InvalidInput(
                "allow",
                given=name,
                expected="a module of your own that can be imported from here, or a folder of "
                "masks",
            )
    return given


def _is_module(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError, AttributeError):
        return False
