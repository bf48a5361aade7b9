"""The prior that a command line names, with what its folder does not say itself."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from deft.commands import remembered
from deft.errors import CheckpointError, InvalidInput
from deft.priors import diffusers_schedulers, resolve
from deft.priors.base import Prior
from deft.priors.details import Details
from deft.priors.diffusers_networks import Taken
from deft.priors.diffusers_text import has_texts, readable
from deft.priors.diffusers_unet import listed
from deft.training.prior_told import PREFIX

Labels = int | list[int]
Names = str | list[str]

HELP = {
    "labels": "the classes of a class-conditional prior: one for all images, or a list with one "
    "for each; default: those of --h, or the class that stands for none, where there is one",
    "context": "a safetensors file with what the prior is told, by the names that it takes "
    "(deft inspect says them and their shapes): encoder_hidden_states, pooled_projections, say; "
    "default: what --h was trained under, or an empty prompt, where the folder has its encoders",
    "subfolder": "which network of a diffusers folder that holds several, such as unet_ema",
    "schedule": "the noise schedule of a diffusers folder or a checkpoint that does not say: "
    f"{', '.join(diffusers_schedulers.NAMED)}",
    "prediction_type": "what the network of a diffusers folder or a checkpoint predicts, where "
    "that is not said: epsilon, sample, v_prediction",
    "details": "what a file of weights alone (a .pt of guided-diffusion, say) does not say of its "
    "network: --details.num_head_channels 64 (or num_heads), --details.attention_order legacy, "
    "--details.image_size 256, --details.value_range [-1,1], or --details.config FILE "
    "(Genie's configuration, say); deft inspect FILE says what is missing; image size and value "
    "range also of a diffusers folder; --h remembers them",
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
    context: Path | None = None,
    h: Path | None = None,
) -> Prior:
    """The prior of a command that evaluates it. With `fetch=False` (a name out of a file) nothing
    is downloaded. `h` is the h-transform that it is asked with, whose file remembers what is not
    typed. Raises `InvalidInput` for a conditional one that is not told all that it takes.
    """
    said = (labels, subfolder, schedule, prediction_type)
    prior = described(name, *said, fetch, allow, details, context, h, ready=True)
    lacks = lacking(prior)
    if not lacks:
        return prior
    if tuple(lacks) == ("class_labels",) and lacks["class_labels"].classes is not None:
        expected = (
            f"the classes to sample, of {prior.name}: whole numbers from 0 to "
            f"{lacks['class_labels'].classes - 1}, one for all images or a list"
        )
        raise InvalidInput(
            "labels", given="nothing", expected=expected, advice="such as --labels 0"
        )
    raise InvalidInput(
        "context",
        given="nothing" if context is None else f"{context}, which does not hold all",
        expected=f"what {prior.name} is told beside x_t: {listed(lacks)}",
        advice=f"give --context FILE.safetensors with these tensors{_encoders(name)}",
    )


def described(
    name: str | Path,
    labels: Labels | None,
    subfolder: str | None,
    schedule: str | None,
    prediction_type: str | None,
    fetch: bool = True,
    allow: tuple[str, ...] = (),
    details: Details | None = None,
    context: Path | None = None,
    h: Path | None = None,
    ready: bool = False,
) -> Prior:
    """The prior, which need not be ready to be evaluated: an empty prompt is computed for one that
    is.
    """
    several = [labels] if isinstance(labels, int) else labels
    given = None if context is None else remembered.read(context)
    said = remembered.Said(subfolder, schedule, prediction_type, details, given)
    if h is not None:
        said = remembered.said(said, h)
    told = said.context if said.context is not None or ready else {}
    try:
        return resolve.load(
            name,
            labels=several,
            subfolder=said.subfolder,
            schedule=said.schedule,
            prediction_type=said.prediction_type,
            details=said.details,
            context=told,
            fetch=fetch,
            allow=allow,
        )
    except InvalidInput as error:
        if h is None or given is not None or labels is not None or error.what not in (told or {}):
            raise
        raise CheckpointError(
            f"{h}: {PREFIX}{error.what}", given=error.given, expected=error.expected
        ) from error


def lacking(prior: Prior) -> dict[str, Taken]:
    """What a network of diffusers, or of a prior around one, has yet to be told."""
    inner = getattr(prior, "prior", None)
    found: dict[str, Taken] = getattr(prior, "lacks", None) or {}
    return found if inner is None else lacking(inner)


def is_distilled(prior: Prior) -> bool:
    """Whether guidance was distilled into its network, or that of the prior that it is around."""
    inner = getattr(prior, "prior", None)
    return bool(getattr(prior, "distilled", False)) if inner is None else is_distilled(inner)


def _encoders(name: str | Path) -> str:
    """Where the encoders of a prompt cannot be used, how they could."""
    folder = Path(name).expanduser()
    if folder.is_dir() and has_texts(folder) and not readable(folder):
        return "; or install transformers (deft-diffusion[text]), which reads the text encoders"
    return ""


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
