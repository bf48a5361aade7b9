"""An autoencoder of Hugging Face diffusers as a codec: AutoencoderKL, AutoencoderTiny, VQModel.

    E(x) = (mode of q(z' | x) - offset) / factor
    D(z) = decoder(factor z + offset)

with factor = s / scaling_factor and offset = shift_factor, as the configuration says them; s is its
`latents_std` and the offset its `latents_mean` where it has those, one of each channel. A diffusion
prior is trained on z, whose standard deviation is about 1. x is in (-1, 1).

VQModel: z is what its encoder says before the nearest entry of the codebook is taken, which D does;
the gradient passes that step as if it were not there (straight through).

`deft.priors.autoencoder_files` reads one from a folder.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, final

import torch
from torch import Tensor, nn

from deft import checks
from deft.codec import Codec, Codes, Signals, few_at_a_time
from deft.errors import InvalidInput

KINDS = ("AutoencoderKL", "AutoencoderTiny", "VQModel")
_PIXELS_AT_ONCE = 1 << 18  # one image of 512 x 512


@final
class Autoencoder(Codec):
    """An autoencoder of diffusers between images (channels, f height, f width) and latents of
    `event_shape` (latent channels, height, width), with f the spatial factor of its configuration.

    x_0 of an image is the mode of the encoder, never a draw. Images are encoded and decoded a few
    at a time. Raises `InvalidInput` for a network of another class, factors that
    are not finite, and latents that are not of its shape.
    """

    value_range = (-1.0, 1.0)
    factor: Tensor
    offset: Tensor

    def __init__(self, network: nn.Module, event_shape: Sequence[int]) -> None:
        super().__init__()
        kind = type(network).__name__
        checks.name("autoencoder", kind, KINDS)
        config: Any = network.config
        self.kind, self.network = kind, network
        self.event_shape = (latent_channels(kind, config), *event_shape[1:])
        if tuple(event_shape) != self.event_shape or len(event_shape) != 3:
            raise InvalidInput(
                f"latents of the {kind}",
                given=tuple(event_shape),
                expected=f"({self.event_shape[0]}, height, width)",
                advice="the network and the autoencoder are not of one model",
            )
        self.spatial_factor = spatial_factor(kind, config)
        self.signal_shape = (
            config.in_channels,
            *(self.spatial_factor * n for n in event_shape[1:]),
        )
        if config.out_channels != config.in_channels:
            raise InvalidInput(
                f"{kind}: out_channels",
                given=config.out_channels,
                expected=f"{config.in_channels}, as many as it takes",
            )
        factor, offset = affine(kind, config, self.event_shape[0])
        self.register_buffer("factor", factor)
        self.register_buffer("offset", offset)
        self.at_once = max(1, _PIXELS_AT_ONCE // math.prod(self.signal_shape[1:]))
        # x of a quarter of its range against z of 1, in as many entries as there are
        self.gain = 0.25 * math.prod(self.signal_shape) / math.prod(self.event_shape)
        self.about = self._about()
        self.eval().requires_grad_(False)

    def decode(self, z: Codes) -> Signals:
        return few_at_a_time(self._decode, z, self.at_once)

    def encode(self, x: Signals) -> Codes:
        return few_at_a_time(self._encode, x, self.at_once)

    @property
    def dtype(self) -> torch.dtype:
        """The precision that it computes in; what comes out is in that of what went in."""
        return next(self.network.parameters()).dtype

    def _decode(self, z: Codes) -> Signals:
        raw = self.factor.to(z) * z + self.offset.to(z)
        out: Any = self.network.decode(raw.to(self.dtype))  # type: ignore[operator]
        result: Signals = out.sample.to(z.dtype)
        return result

    def _encode(self, x: Signals) -> Codes:
        out: Any = self.network.encode(x.to(self.dtype))  # type: ignore[operator]
        raw = out.latent_dist.mode() if self.kind == "AutoencoderKL" else out.latents
        result: Codes = (raw.to(x.dtype) - self.offset.to(x)) / self.factor.to(x)
        return result

    def _about(self) -> str:
        config: Any = self.network.config
        said = [f"{self.kind}, {self.spatial_factor} pixels to a latent along each axis"]
        if bool((self.factor == self.factor.flatten()[0]).all()):
            said.append(f"latents times {1 / float(self.factor.flatten()[0]):.5g}")
        else:
            said.append("latents scaled by channel")
        if bool((self.offset != 0).any()):
            said.append("after a shift")
        if self.kind == "VQModel":
            said.append(
                f"D takes the nearest of {config.num_vq_embeddings} entries, which gradients pass "
                "straight through"
            )
        return ", ".join(said)


def latent_channels(kind: str, config: Any) -> int:
    """The channels of z."""
    if kind == "VQModel" and config.vq_embed_dim is not None:
        return int(config.vq_embed_dim)
    return int(config.latent_channels)


def spatial_factor(kind: str, config: Any) -> int:
    """How many pixels along an axis there are to one latent. Raises `InvalidInput` where encoder
    and decoder differ in it.
    """
    if kind != "AutoencoderTiny":
        return int(2 ** (len(config.block_out_channels) - 1))
    down = 2 ** (len(config.encoder_block_out_channels) - 1)
    up = config.upsampling_scaling_factor ** (len(config.decoder_block_out_channels) - 1)
    if up != down:
        raise InvalidInput(
            f"{kind}: decoder_block_out_channels",
            given=f"a decoder that enlarges {up} times",
            expected=f"{down} times, as its encoder reduces",
        )
    return int(down)


def affine(kind: str, config: Any, channels: int) -> tuple[Tensor, Tensor]:
    """(factor, offset), each (1, channels, 1, 1) or of one number: raw latents are factor z +
    offset.
    """
    scaling = checks.positive(
        f"{kind}: scaling_factor", config.scaling_factor, "what latents are multiplied by"
    )
    shift, mean, std = (
        getattr(config, name, None) for name in ("shift_factor", "latents_mean", "latents_std")
    )
    if (mean is None) != (std is None) or (mean is not None and shift):
        raise InvalidInput(
            f"{kind}: latents_mean",
            given=f"latents_mean {mean}, latents_std {std}, shift_factor {shift}",
            expected="a mean and a standard deviation of each channel, or a shift_factor, or none",
        )
    if mean is None:
        offset = checks.finite(f"{kind}: shift_factor", shift or 0.0, "taken from latents")
        return torch.full((1, 1, 1, 1), 1 / scaling), torch.full((1, 1, 1, 1), float(offset))
    found = []
    for name, value in (("latents_mean", mean), ("latents_std", std)):
        try:
            each = torch.tensor(value, dtype=torch.float32).flatten()
        except (TypeError, ValueError, RuntimeError):
            each = torch.zeros(0)
        good = len(each) == channels and bool(each.isfinite().all())
        if not good or (name == "latents_std" and not bool((each > 0).all())):
            raise InvalidInput(
                f"{kind}: {name}", given=value, expected=f"{channels} numbers, one for each channel"
            )
        found.append(each.reshape(1, channels, 1, 1))
    return found[1] / scaling, found[0]
