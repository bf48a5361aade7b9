"""The configuration of a network of diffusers, checked before anything is allocated: its settings
must be those of its class, and its sizes those of a network that there could be.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from deft import checks
from deft.errors import InvalidInput
from deft.priors.diffusers_networks import class_of

_MOST_WEIGHTS = 20_000_000_000
_WHOLE = {
    "in_channels": 4096,
    "out_channels": 4096,
    "layers_per_block": 64,
    "norm_num_groups": 4096,
    "num_class_embeds": 10_000_000,
    "attention_head_dim": 4096,
    "num_attention_heads": 4096,
    "num_layers": 512,
    "num_single_layers": 512,
    "patch_size": 64,
    "num_embeds_ada_norm": 10_000_000,
    "cross_attention_dim": 65_536,
    "encoder_hid_dim": 65_536,
    "joint_attention_dim": 65_536,
    "caption_projection_dim": 65_536,
    "pooled_projection_dim": 65_536,
    "addition_time_embed_dim": 65_536,
    "projection_class_embeddings_input_dim": 1_000_000,
    "time_embedding_dim": 65_536,
    "transformer_layers_per_block": 64,
    "pos_embed_max_size": 4096,
}
_PER_BLOCK = (
    "layers_per_block",
    "attention_head_dim",
    "num_attention_heads",
    "cross_attention_dim",
    "transformer_layers_per_block",
)
"""Settings that may be a list, with one entry for each block."""


def checked(config: dict[str, Any], file: Path) -> None:
    """Raise `InvalidInput` for a setting that its class does not have, which it would leave out in
    silence, that is of another type, or that no network has.
    """
    _check_sizes(config, file)
    _check_known(config, file)


def _fits(value: object, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most


def _check_sizes(config: dict[str, Any], file: Path) -> None:
    for key, most in _WHOLE.items():
        value = config.get(key)
        several = value if isinstance(value, list) and key in _PER_BLOCK else [value]
        if value is not None and not (
            1 <= len(several) <= 16 and all(_fits(one, most) for one in several)
        ):
            raise InvalidInput(
                f"{file}: {key}", given=value, expected=f"a whole number from 1 to {most}"
            )
    size, channels = config.get("sample_size"), config.get("block_out_channels", [1])
    sizes = size if isinstance(size, list) else [size]
    if size is not None and (
        not 1 <= len(sizes) <= 2 or not all(_fits(one, 16_384) for one in sizes)
    ):
        raise InvalidInput(
            f"{file}: sample_size", given=size, expected="a whole number, or a height and a width"
        )
    if (
        not isinstance(channels, list)
        or not 1 <= len(channels) <= 16
        or not all(_fits(one, 16_384) for one in channels)
    ):
        raise InvalidInput(
            f"{file}: block_out_channels",
            given=channels,
            expected="a list of 1 to 16 whole numbers",
        )


def _check_known(config: dict[str, Any], file: Path) -> None:
    name = str(config["_class_name"])
    parameters = inspect.signature(class_of(name).__init__).parameters
    unknown = [key for key in config if not key.startswith("_") and key not in parameters]
    if unknown:
        raise InvalidInput(
            f"{file}: {unknown[0]}",
            given=config[unknown[0]],
            expected=f"a setting of {name}; the installed diffusers would leave it out",
            advice="update diffusers, or take it out of the file if the network does not depend "
            "on it",
        )
    for key in ("norm_eps", "mid_block_scale_factor", "dropout"):
        if config.get(key) is not None:
            checks.non_negative(f"{file}: {key}", config[key])
    if name == "UNet2DModel" and config.get("mid_block_type", "UNetMidBlock2D") not in (
        "UNetMidBlock2D",
        None,
    ):
        raise InvalidInput(
            f"{file}: mid_block_type",
            given=config["mid_block_type"],
            expected="UNetMidBlock2D or null",
        )
    weights, key = _weights(config)
    if weights > _MOST_WEIGHTS:
        raise InvalidInput(
            f"{file}: {key}",
            given=config[key],
            expected=f"a network of at most {_MOST_WEIGHTS:.0e} parameters",
        )


def _weights(config: dict[str, Any]) -> tuple[int, str]:
    """Fewer than its network has, and the setting that most of it comes from: two convolutions of
    3 x 3 in each block of a U-Net, on the way down and up; twelve squares of its width in each
    layer of a transformer.
    """
    if "block_out_channels" in config or "num_layers" not in config:
        layers = config.get("layers_per_block", 2)
        least = min(layers) if isinstance(layers, list) else layers
        channels = config.get("block_out_channels", [1])
        return sum(36 * c * c * least for c in channels), "block_out_channels"
    width = config.get("num_attention_heads", 1) * config.get("attention_head_dim", 1)
    depth = config["num_layers"] + (config.get("num_single_layers") or 0)
    return 12 * width * width * depth, "num_layers"
