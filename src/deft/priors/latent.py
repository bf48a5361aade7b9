"""A prior of latents with an autoencoder, as one prior of what the autoencoder decodes.

    x = D(z),    x_0 = E(x),    z_t = alpha_t x_0 + sigma_t eps

Samplers and h-transforms work on z; y is measured of x, and samples are decoded when they are
looked at. The prior is never differentiated; g of section 4 takes one product with the transposed
derivative of D (deft.operators.composed).

`load` reads a pipeline of diffusers: `vae/` (or `vqvae/`, `movq/`), `unet/` or `transformer/`, and
`scheduler/`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import final

import torch
from torch import Tensor

from deft.codec import Codec
from deft.errors import InvalidInput
from deft.priors import autoencoder_files, diffusers
from deft.priors.base import Prior
from deft.priors.diffusers_files import AUTOENCODERS, autoencoder, local_folder
from deft.priors.wrapped import WrappedPrior
from deft.schedules import Schedule
from deft.types import Signal, Times


@final
class LatentPrior(WrappedPrior):
    """Any prior of latents behind any codec of their shape.

    `event_shape`, `scale` and noise are those of the latents; `signal_shape` and `value_range`
    those of what is decoded. Its identity is that of both. Raises `InvalidInput` where the two do
    not fit, or the prior has a codec already.
    """

    codec = Prior.codec  # its own, not that of the prior that it wraps

    def __init__(
        self,
        prior: Prior,
        codec: Codec,
        *,
        value_range: tuple[float, float] | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(prior)
        self._name = name or prior.name
        if prior.codec is not None:
            raise InvalidInput(
                "prior",
                given=f"{prior.name}, which has an autoencoder",
                expected="a prior of latents alone",
            )
        if tuple(prior.event_shape) != tuple(codec.event_shape):
            raise InvalidInput(
                "autoencoder",
                given=f"latents of {tuple(codec.event_shape)}",
                expected=f"{tuple(prior.event_shape)}, those of {prior.name}",
                advice="give the autoencoder that the prior was trained with",
            )
        self.codec = codec  # type: ignore[misc]
        self.value_range = value_range or codec.value_range
        self.frozen()

    @property
    def name(self) -> str:
        return self._name

    @property
    def takes(self) -> tuple[str, ...]:  # type: ignore[override]
        """What the prior of latents is told beside them."""
        return self.prior.takes

    @property
    def num_classes(self) -> int | None:
        """How many classes the prior of latents has, where it has some."""
        found: int | None = getattr(self.prior, "num_classes", None)
        return found

    @property
    def num_parameters(self) -> int:
        """Those of the prior of latents, of which an h-transform is a fraction; not those of the
        codec.
        """
        return self.prior.num_parameters

    def around(self, prior: Prior) -> LatentPrior:
        assert self.codec is not None
        return LatentPrior(prior, self.codec, value_range=self.value_range, name=self._name)

    def identity(self) -> dict[str, object]:
        """That of the prior of latents, with the hash of both and the shape of what is decoded."""
        return {
            **self.prior.identity(),
            "name": self.name,
            "hash": self._state_hash(),
            "signal_shape": list(self.signal_shape),
        }

    def checked_context(self, name: str, value: Tensor) -> Tensor:
        return self.prior.checked_context(name, value)

    def denoise(self, x_t: Signal, t: Times) -> Signal:
        return self.prior.denoise(x_t, t)


def load(
    path_or_hub_id: str | Path,
    *,
    subfolder: str | None = None,
    prediction_type: str | None = None,
    schedule: Schedule | str | None = None,
    value_range: tuple[float, float] | None = None,
    scale: float | None = None,
    image_size: int | None = None,
    context: Mapping[str, Tensor] | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    variant: str | None = None,
    revision: str | None = None,
) -> LatentPrior:
    """The prior of latents and the autoencoder of a pipeline of diffusers, from a local folder or a
    hub id.

    `subfolder` names the network of latents where there are several; `value_range` is that of the
    images, the autoencoder's by default; `scale`, the standard deviation of latents, is 1 by
    default, which is what scaling factors are for; the others are as in
    `deft.priors.diffusers.load`. Raises `InvalidInput` and `CheckpointError` as that does, and as
    `deft.priors.autoencoder_files.load`.
    """
    folder = local_folder(path_or_hub_id, revision)
    part = autoencoder(folder)
    if part is None:
        raise InvalidInput(
            f"{path_or_hub_id}",
            given=", ".join(sorted(p.parent.name for p in folder.glob("*/config.json"))) or "none",
            expected=f"an autoencoder beside the network, in {' or '.join(AUTOENCODERS)}",
        )
    inner = diffusers.load(
        folder,
        subfolder=subfolder,
        prediction_type=prediction_type,
        schedule=schedule,
        scale=scale,
        image_size=image_size,
        context=context,
        dtype=dtype,
        variant=variant,
    )
    codec = autoencoder_files.load(part, inner.event_shape, dtype=dtype)
    name = Path(path_or_hub_id).name if Path(path_or_hub_id).is_dir() else str(path_or_hub_id)
    prior = LatentPrior(inner, codec, value_range=value_range, name=name)
    return prior.to(device=device)
