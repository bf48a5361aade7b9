"""An autoencoder of diffusers from a folder that save_pretrained wrote (`config.json` and weights),
as a codec.

The configuration is checked before the network is built, and the network is built without memory
before weights are read: they must be all of its weights and no others.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from deft.errors import InvalidInput, first_line
from deft.priors import diffusers_weights
from deft.priors.autoencoder import KINDS, Autoencoder, latent_channels, spatial_factor
from deft.priors.diffusers_files import read_json, variant_of
from deft.storage import tensors

_WHOLE = {
    "in_channels": 4096,
    "out_channels": 4096,
    "latent_channels": 4096,
    "layers_per_block": 64,
    "norm_num_groups": 4096,
    "num_vq_embeddings": 10_000_000,
    "vq_embed_dim": 4096,
    "upsampling_scaling_factor": 16,
}
_LISTS = {
    "block_out_channels": 16_384,
    "encoder_block_out_channels": 16_384,
    "decoder_block_out_channels": 16_384,
    "num_encoder_blocks": 64,
    "num_decoder_blocks": 64,
}
_WRITTEN_BESIDE = {"AutoencoderTiny": ("block_out_channels", "force_upcast")}


def load(
    folder: str | Path,
    event_shape: Sequence[int] | None = None,
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> Autoencoder:
    """The autoencoder in a folder, for latents of `event_shape`; by default those of images of its
    own `sample_size`.

    One whose configuration says `force_upcast` overflows in half precision, and computes in single.
    Raises `InvalidInput` for a folder without one, or a configuration that is not known, and
    `CheckpointError` where files are missing, unreadable or not finite.
    """
    root = Path(folder).expanduser()
    file = root / "config.json"
    config = read_json(file, f"{folder} holds no autoencoder: expected config.json")
    kind = config.get("_class_name")
    if kind not in KINDS:
        raise InvalidInput(f"{file}: _class_name", given=kind, expected=" or ".join(KINDS))
    cls = _class(kind)
    _check(config, file, cls)
    if config.get("force_upcast", kind == "AutoencoderKL") and dtype == torch.float16:
        dtype = torch.float32
    with torch.device("meta"):
        empty = _built(cls, config, file)
    if event_shape is None:
        event_shape = _own_latents(empty, config, file)
    made = Autoencoder(empty, event_shape)  # which refuses what does not fit, before weights
    _check_runs(made, file)
    network = diffusers_weights.read(cls, root, root, dtype, variant_of(root, root))
    tensors.finite(f"the weights of {root}", network.state_dict())
    return Autoencoder(network.to(device=device), event_shape).to(device=device)


def _class(kind: str) -> Any:
    if kind == "AutoencoderKL":
        from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL as Found
    elif kind == "AutoencoderTiny":
        from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny as Found
    else:
        from diffusers.models.autoencoders.vq_model import VQModel as Found
    return Found


def _check(config: dict[str, Any], file: Path, cls: Any) -> None:
    """Raise `InvalidInput` for sizes that no network has, and for a setting that the class does
    not have, which it would leave out in silence.
    """

    def fits(value: object, most: int) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most

    for key, most in _WHOLE.items():
        value = config.get(key)
        if value is not None and not fits(value, most):
            raise InvalidInput(
                f"{file}: {key}", given=value, expected=f"a whole number from 1 to {most}"
            )
    for key, most in _LISTS.items():
        value = config.get(key)
        if key in config and not (
            isinstance(value, list) and 1 <= len(value) <= 12 and all(fits(n, most) for n in value)
        ):
            raise InvalidInput(
                f"{file}: {key}",
                given=value,
                expected=f"a list of 1 to 12 whole numbers from 1 to {most}",
            )
    known = {*inspect.signature(cls.__init__).parameters, *_WRITTEN_BESIDE.get(cls.__name__, ())}
    unknown = [key for key in config if not key.startswith("_") and key not in known]
    if unknown:
        raise InvalidInput(
            f"{file}: {unknown[0]}",
            given=config[unknown[0]],
            expected=f"a setting of {cls.__name__}; the installed diffusers would leave it out",
            advice="update diffusers, or take it out of the file if the network does not depend "
            "on it",
        )
    if config.get("lookup_from_codebook"):
        raise InvalidInput(
            f"{file}: lookup_from_codebook",
            given=True,
            expected="false: a prior of tokens is no prior of real numbers",
        )


def _built(cls: Any, config: dict[str, Any], file: Path) -> nn.Module:
    try:
        return cls.from_config(config)  # type: ignore[no-any-return]
    except (ValueError, TypeError, RuntimeError, KeyError, IndexError) as error:
        raise InvalidInput(
            f"{file}", given=first_line(error), expected=f"a configuration of {cls.__name__}"
        ) from error


def _own_latents(network: nn.Module, config: dict[str, Any], file: Path) -> tuple[int, ...]:
    size, factor = (
        config.get("sample_size"),
        spatial_factor(type(network).__name__, network.config),
    )
    if not isinstance(size, int) or isinstance(size, bool) or not 1 <= size <= 16_384:
        raise InvalidInput(
            f"{file}: sample_size",
            given=size,
            expected="the height and width of its images, or event_shape as an argument",
        )
    channels = latent_channels(type(network).__name__, network.config)
    return (channels, size // factor, size // factor)


@torch.no_grad()
def _check_runs(codec: Autoencoder, file: Path) -> None:
    """Raise `InvalidInput` where D of latents is no image of the size that its configuration says;
    on a network without memory, so that shapes alone are computed.
    """
    try:
        z = codec.encode(torch.zeros(1, *codec.signal_shape, device="meta"))
        x = codec.decode(torch.zeros(1, *codec.event_shape, device="meta"))
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise InvalidInput(
            f"{file}",
            given=f"a network that cannot take images of {codec.signal_shape}",
            expected="one that encodes and decodes them",
            advice=f"the network said: {first_line(error)}",
        ) from error
    found = (tuple(z.shape[1:]), tuple(x.shape[1:]))
    if found != (codec.event_shape, codec.signal_shape):
        raise InvalidInput(
            f"{file}",
            given=f"latents of {found[0]} and images of {found[1]}",
            expected=f"{codec.event_shape} and {codec.signal_shape}",
        )
