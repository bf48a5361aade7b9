"""A network asked once, before anybody relies on it: whether it runs on signals of its size, and
answers in finite numbers.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from deft.errors import CheckpointError, InvalidInput, first_line
from deft.priors.diffusers_networks import Taken
from deft.storage import tensors

if TYPE_CHECKING:
    from deft.priors.diffusers_unet import DiffusersPrior

_LARGE = 50_000_000  # parameters from which the probe asks for shapes alone
_TOKENS = 8  # where any number will do


@torch.no_grad()
def probe(prior: DiffusersPrior) -> None:
    """Ask the network once, for one signal without noise, or, where it is large, for the shape of
    its answer alone.

    Raises `InvalidInput` where it cannot run on signals of its configuration, and `CheckpointError`
    where weights or its answer are not finite.
    """
    tensors.finite(prior.name, prior.unet.state_dict())
    large = prior.num_parameters > _LARGE
    asked = prior
    if large:
        asked = copy.copy(prior)
        asked._modules = dict(prior._modules) | {"unet": _empty(prior.unet)}
    device = torch.device("meta") if large else prior.device
    x_t = torch.zeros(1, *prior.event_shape, dtype=prior.network_dtype, device=device)
    context = {
        name: _zeros(prior.unet, name, one, prior.network_dtype).to(device)
        for name, one in prior.taken.items()
    }
    config: Any = prior.unet.config
    try:
        out = asked.asked(x_t, torch.full((1,), 0.5), context)
    except (RuntimeError, ValueError, TypeError, IndexError, KeyError) as error:
        raise InvalidInput(
            f"{prior.name}: sample_size",
            given=getattr(config, "sample_size", None) or prior.event_shape[1:],
            expected=_expected(config),
            advice=f"the network said: {first_line(error)}",
        ) from error
    if out.shape[2:] != x_t.shape[2:]:
        raise InvalidInput(
            f"{prior.name}: sample_size",
            given=getattr(config, "sample_size", None) or prior.event_shape[1:],
            expected="one that comes back in the size that it went in",
        )
    if not large and not bool(out.isfinite().all()):
        raise CheckpointError(
            f"{prior.name}",
            given="NaN or infinite values in its answer to a signal of zeros",
            expected="finite numbers",
        )


def _expected(config: Any) -> str:
    channels = getattr(config, "block_out_channels", None)
    if channels is not None:
        return (
            f"a height and width that the network can take; it halves them {len(channels) - 1} "
            "times"
        )
    return "a height and width that the network can take, in whole patches"


def _zeros(unet: nn.Module, name: str, one: Taken, dtype: torch.dtype) -> Tensor:
    """One tensor of a context, of zeros."""
    if one.classes is not None:
        return torch.zeros(1, dtype=torch.long)
    config: Any = unet.config
    sizes = [_TOKENS if n is None else n for n in one.shape]
    if name == "time_ids":
        sizes = [1]
    if name == "text_embeds":
        sizes = [config.projection_class_embeddings_input_dim - config.addition_time_embed_dim]
    return torch.zeros(1, *sizes, dtype=dtype)


def _empty(unet: nn.Module) -> nn.Module:
    """The same network without weights."""
    with torch.device("meta"):
        result: nn.Module = type(unet).from_config(unet.config)  # type: ignore[attr-defined]
        return result
