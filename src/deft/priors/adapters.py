"""The families of foreign checkpoints in one file, recognised by the names of their weights.

    FAMILIES
        what is loaded, and what `deft inspect` says of it
    NAMED
        what is recognised and not loaded from the file alone, with what to do instead

A folder of diffusers is read by deft.priors.diffusers, a network behind an API by its own class, a
module of the user's own by deft.priors.callable, edm or flow_matching.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from deft.errors import CheckpointError, InvalidInput
from deft.priors import adm, adm_keys, adm_layout, edm, genie
from deft.priors import denoising_diffusion_pytorch as ddp
from deft.priors.base import Prior
from deft.priors.details import Details, check_all
from deft.schedules import Schedule
from deft.storage import lightning, weights_only
from deft.storage.tensors import finite

_IN = {
    "heads": "--details.num_head_channels",
    "attention_order": "--details.attention_order",
    "image_size": "--details.image_size",
    "noise_schedule": "--schedule",
    "prediction_type": "--prediction_type",
    "value_range": "--details.value_range",
}
ABSENT = "not in the file"
_ON_IMAGES = (
    "--problem Inpainting --problem.masks box --problem.sigma_y 0.05 --images FOLDER --out RUN"
)
_ON_CHAINS = "--problem MotifScaffolding --images CHAINS --out RUN"
_CONFIG, _GENIE = "--details.config", "a .ckpt of Genie (protein backbones) and its configuration"


@final
class Unknown(InvalidInput):
    """A checkpoint that is of no family that can be loaded from a file."""


@final
@dataclass(frozen=True)
class Said:
    """What a file says (`rows`), its weights, what is known beside it and where that is said
    (`beside`: name to value and place; None where it is nowhere), the options that say it
    (`options`: a value or None each), and what more a command needs that trains on it (`then`).
    """

    family: str
    what: str
    tensors: Mapping[str, Any]
    rows: Mapping[str, str]
    beside: Mapping[str, tuple[Any, str] | None]
    options: Mapping[str, Any]
    then: str = _ON_IMAGES

    @property
    def ready(self) -> bool:
        """Whether everything is known that the prior needs."""
        return all(found is not None for found in self.beside.values())


@final
@dataclass(frozen=True)
class Family:
    """How one family is recognised, loaded and described."""

    name: str
    what: str
    is_it: Callable[[object], bool]
    load: Callable[..., Prior]
    say: Callable[..., Said]


def family_of(path: Path, content: object) -> Family:
    """The family of what a file holds. Raises `Unknown` for one that is recognised and not
    loaded from a file, with what to do, and for an unknown one, with what was found and what is
    supported.
    """
    for family in FAMILIES:
        if family.is_it(content):
            return family
    names = _names(content)
    for marks, what, advice in NAMED:
        if all(any(mark in name for name in names) for mark in marks):
            raise Unknown(
                f"{path}", given=what, expected=_supported(), advice=advice.format(path=path)
            )
    shown = ", ".join(names[:5]) or type(content).__name__
    raise Unknown(
        f"{path}",
        given=f"a checkpoint of an unknown family, which holds {shown}"
        f"{' and more' if len(names) > 5 else ''}",
        expected=_supported(),
        advice="build the network in Python, load these weights, and wrap it: CallablePrior, "
        "deft.priors.edm or deft.priors.flow_matching",
    )


def load(
    path: Path,
    details: Details | None = None,
    schedule: Schedule | str | None = None,
    prediction_type: str | None = None,
) -> Prior:
    """The prior of a foreign file. Raises `InvalidInput` and `CheckpointError` as `family_of` and
    the adapters do.
    """
    content = read(path)
    family = family_of(path, content)
    return family.load(path, content, details or Details(), schedule, prediction_type)


def say(
    path: Path,
    content: object,
    details: Details | None = None,
    schedule: str | None = None,
    prediction_type: str | None = None,
) -> Said:
    """What a foreign file says, whose `content` was read, and what it does not; no network is built
    with weights. Raises `Unknown` and `CheckpointError` as `load` does.
    """
    family = family_of(path, content)
    return family.say(path, content, details or Details(), schedule, prediction_type)


def read(path: Path) -> object:
    """What a foreign file holds. Raises `InvalidInput` for a pickle of EDM, and `CheckpointError`
    for a file that is damaged or needs code.
    """
    edm.refuse_pickle(path)
    return lightning.contents(path)


def _adm(content: object) -> bool:
    return bool(_tensors(content)) and adm_layout.is_adm(adm.without_prefix(_tensors(content)))


def _tensors(content: object) -> dict[str, Any]:
    try:
        return weights_only.named("", content)
    except CheckpointError:
        return {}


def _load_adm(
    path: Path,
    content: object,
    details: Details,
    schedule: Schedule | str | None,
    prediction_type: str | None,
) -> Prior:
    tensors = weights_only.named(path, content)
    return adm.prior_of(path, tensors, details, schedule, prediction_type)


def _say_adm(
    path: Path,
    content: object,
    details: Details,
    schedule: str | None,
    prediction_type: str | None,
) -> Said:
    tensors = adm.without_prefix(weights_only.named(path, content))
    finite(path, tensors)
    shape = adm_layout.layout(path, tensors)
    facts = adm.known(path, shape, details, schedule, prediction_type)
    empty = adm_keys.empty_unet(shape, 64, lambda width, up: 1)
    check_all(path, tensors, adm_keys.wanted(empty, shape))
    heads = facts.get("heads") or {}
    given: dict[str, Any] = {"--labels": 0} if shape.num_classes else {}
    for name, option in _IN.items():
        if facts["from"].get(name, "given") == "given":
            given[option] = facts.get(name)
    if heads and "--details.num_head_channels" in given:
        given.pop("--details.num_head_channels")
        given |= {f"--details.{name}": value for name, value in heads.items()}
    for name in ("diffusion_steps", "rescale_timesteps"):
        if facts["from"].get(name) == "given":
            given[f"--details.{name}"] = facts[name]
    if details.config is not None:
        given["--details.config"] = details.config
    return Said(
        "adm",
        "weights of a U-Net of guided-diffusion or improved-diffusion",
        tensors,
        shape.rows(),
        {
            name: None if facts.get(name) is None else (facts[name], facts["from"][name])
            for name in adm.NEEDED
        },
        given,
    )


def _say_ddp(
    path: Path,
    content: object,
    details: Details,
    schedule: str | None,
    prediction_type: str | None,
) -> Said:
    facts = {**details.said(), "prediction_type": prediction_type}
    return Said(
        ddp.PACKAGE,
        "a checkpoint of its Trainer",
        ddp.averaged(path, content)[0],
        ddp.rows(path, content),
        {name: None if facts.get(name) is None else (facts[name], "given") for name in ddp.NEEDED},
        {_IN[name]: facts.get(name) for name in ddp.NEEDED},
    )


def _say_genie(
    path: Path,
    content: object,
    details: Details,
    schedule: str | None,
    prediction_type: str | None,
) -> Said:
    tensors, sizes, config = genie.said(path, content, details, schedule, prediction_type)
    facts = {"max_length": None if config is None else (sizes.most, config.name)}
    options = {} if config is not None and details.config is None else {_CONFIG: details.config}
    return Said("genie", _GENIE, tensors, genie.rows(sizes), facts, options, _ON_CHAINS)


def _names(content: object) -> list[str]:
    """The names in a checkpoint, those of its weights where there are some."""
    names = list(_tensors(content))
    return names or ([str(name) for name in content] if isinstance(content, Mapping) else [])


def _supported() -> str:
    found = "; ".join(f"{family.name}: {family.what}" for family in FAMILIES)
    return (
        "a file of deft, a folder that diffusers' save_pretrained wrote, or a checkpoint of one of "
        f"the families {found}"
    )


FAMILIES = (
    Family(
        "adm",
        "weights of a U-Net of guided-diffusion or improved-diffusion",
        _adm,
        _load_adm,
        _say_adm,
    ),
    Family(ddp.PACKAGE, "the model-N.pt of its Trainer", ddp.is_it, ddp.prior_of, _say_ddp),
    Family("genie", _GENIE, genie.is_it, genie.prior_of, _say_genie),
)
NAMED: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (
        ("pair_feature_net.linear_motif_template.weight",),
        "weights of Genie 2",
        "build its network in Python and wrap it: deft.CallableBackbone",
    ),
    (
        ("model.diffusion_model.input_blocks",),
        "a latent diffusion checkpoint in one file (Stable Diffusion)",
        "convert it with diffusers (StableDiffusionPipeline.from_single_file, save_pretrained), "
        "and give the folder",
    ),
    (
        ("map_layer0.weight", "enc."),
        "weights of a network of EDM",
        "build its network in Python, and deft.priors.edm.load({path!s}, network, ...)",
    ),
    (
        ("down_blocks.0.", "conv_in.weight"),
        "weights of a network of diffusers, without its config.json",
        "give the folder that save_pretrained wrote",
    ),
    (
        ("x_embedder.proj.weight", "blocks.0.attn.qkv.weight"),
        "weights of a transformer (DiT, SiT) in its original form",
        "give the folder of its diffusers form, or build it in Python and wrap it: CallablePrior, "
        "deft.priors.flow_matching",
    ),
    (
        ("input_blocks.0.0.weight",),
        "a U-Net like those of guided-diffusion without its embedding of the time",
        "get the whole file",
    ),
)
