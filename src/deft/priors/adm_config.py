"""The configuration of a guided-diffusion network: flags of its scripts, or arguments of its
constructor, as JSON.

What the weights say too is compared with them, so that the configuration of another network is
refused; what only the configuration says is taken from it. A setting that is not known is refused
by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from deft import checks
from deft.errors import InvalidInput
from deft.priors.adm_layout import Layout

_TAKEN = (
    "image_size",
    "num_heads",
    "num_heads_upsample",
    "num_head_channels",
    "use_new_attention_order",
    "diffusion_steps",
    "noise_schedule",
    "rescale_timesteps",
    "predict_xstart",
    "prediction_type",
    "attention_order",
    "value_range",
)
_COMPARED = (
    "in_channels",
    "model_channels",
    "num_channels",
    "out_channels",
    "learn_sigma",
    "num_res_blocks",
    "attention_resolutions",
    "channel_mult",
    "num_classes",
    "class_cond",
    "use_scale_shift_norm",
    "resblock_updown",
    "conv_resample",
    "dims",
)
_HARMLESS = (
    "dropout",
    "use_checkpoint",
    "use_fp16",
    "use_kl",
    "sigma_small",
    "rescale_learned_sigmas",
    "timestep_respacing",
    "model_path",
)


def from_config(file: Path, config: Mapping[str, Any], layout: Layout) -> dict[str, Any]:
    """What a configuration says beyond the weights, by the names of `Details`, with
    `noise_schedule` and `prediction_type`.

    Raises `InvalidInput` for a setting that is not known, of another type, or another than the
    weights have.
    """
    known = (*_TAKEN, *_COMPARED, *_HARMLESS)
    for key, value in config.items():
        if key not in known:
            raise InvalidInput(
                f"{file}: {key}",
                given=value,
                expected="a setting of guided-diffusion's networks or processes",
                advice="take it out if the network does not depend on it",
            )
    facts = _taken(file, config)
    for key, found in _of_weights(config, layout):
        given = _plain(config[key], key)
        if given != found and not (given is None and key in ("channel_mult", "num_classes")):
            raise InvalidInput(
                f"{file}: {key}",
                given=config[key],
                expected=f"{list(found) if isinstance(found, tuple) else found}, as the weights "
                "have; this is the configuration of another network",
            )
    return facts


def _taken(file: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    most = {"image_size": 16_384, "diffusion_steps": 100_000}
    for key in ("image_size", "num_heads", "num_heads_upsample", "num_head_channels", *most):
        value = config.get(key)
        if value not in (None, -1):
            facts[key] = checks.whole(f"{file}: {key}", value, 1, most.get(key, 4096))
    if "num_head_channels" in facts:  # which those networks then go by
        facts.pop("num_heads", None)
        facts.pop("num_heads_upsample", None)
    for key in ("use_new_attention_order", "predict_xstart", "rescale_timesteps"):
        if key in config and not isinstance(config[key], bool):
            raise InvalidInput(f"{file}: {key}", given=config[key], expected="true or false")
    if "use_new_attention_order" in config:
        facts["attention_order"] = "new" if config["use_new_attention_order"] else "legacy"
    if "predict_xstart" in config:
        facts["prediction_type"] = "sample" if config["predict_xstart"] else "epsilon"
    for key, names in (
        ("noise_schedule", ["linear", "cosine"]),
        ("attention_order", ["legacy", "new"]),
    ):
        if key in config:
            facts[key] = checks.name(f"{file}: {key}", config[key], names)
    for key in ("rescale_timesteps", "prediction_type"):
        if key in config:
            facts[key] = config[key]
    if "value_range" in config:
        facts["value_range"] = checks.finite_range(f"{file}: value_range", config["value_range"])
    return facts


def _of_weights(config: Mapping[str, Any], layout: Layout) -> Iterator[tuple[str, object]]:
    """The settings of a configuration that the weights say too, and what they say."""
    downs = tuple(2**i for i, here in enumerate(layout.attention) if here)
    size = config.get("image_size")
    flags = isinstance(config.get("attention_resolutions"), str)
    places = (
        tuple(sorted(size // down for down in downs))
        if flags and isinstance(size, int)
        else None
        if flags
        else downs
    )
    said: dict[str, object] = {
        "in_channels": layout.in_channels,
        "model_channels": layout.model_channels,
        "num_channels": layout.model_channels,
        "out_channels": layout.out_channels,
        "learn_sigma": layout.learned_variance,
        "num_res_blocks": layout.depth,
        "attention_resolutions": places,
        "channel_mult": layout.multipliers,
        "num_classes": layout.num_classes,
        "class_cond": layout.num_classes is not None,
        "use_scale_shift_norm": layout.scale_shift,
        "resblock_updown": layout.resampling == "resnet",
        "conv_resample": True,
        "dims": 2,
    }
    for key, value in said.items():
        if (key in config and value is not None) or (key == "num_classes" and config.get(key)):
            yield key, value


def _plain(value: object, key: str) -> object:
    """A value as it is compared: lists, and numbers between commas, as tuples; nothing as None."""
    if value in ("", None):
        return None
    if key in ("attention_resolutions", "channel_mult"):
        parts: Any = value.split(",") if isinstance(value, str) else value
        try:
            numbers = tuple(float(part) for part in parts)
        except (TypeError, ValueError):
            return value
        return tuple(sorted(numbers)) if key == "attention_resolutions" else numbers
    return value
