"""The networks of diffusers that are read: what each is told beside x_t and t, and how it is asked.

UNet2DModel               class_labels, where it has classes
UNet2DConditionModel      encoder_hidden_states (tokens, width), of a prompt, say; class_labels;
                          text_embeds and time_ids (SDXL)
DiTTransformer2DModel     class_labels; the last one stands for none
SD3Transformer2DModel     encoder_hidden_states, pooled_projections
FluxTransformer2DModel    the same, and guidance where it was distilled; its latents go in as
                          patches of 2 x 2, and say where they are (img_ids; txt_ids are zeros)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, final

import torch
from torch import Tensor

from deft.errors import InvalidInput

Given = Mapping[str, Tensor]
IN_FULL = ("time_ids",)  # numbers that half precision would round, besides single ones
_OF_TIME = 1000  # Flux multiplies what it is told of the time


@final
@dataclass(frozen=True)
class Taken:
    """One tensor of a context: its `shape` for one signal (None where any length will do), or,
    where there are `classes`, one whole number below that, of which `null` stands for no class.
    """

    shape: tuple[int | None, ...] = ()
    classes: int | None = None
    null: int | None = None
    words: str = ""

    def __str__(self) -> str:
        if self.classes is not None:
            none = "" if self.null is None else f" ({self.null} for no class)"
            return f"a whole number from 0 to {self.classes - 1}{none}"
        if self.words:
            return self.words
        sizes = ", ".join("any" if n is None else str(n) for n in self.shape)
        return f"({sizes})" if self.shape else "a number"


@final
@dataclass(frozen=True)
class Network:
    """One class: the module that holds it, what it takes, how it is asked, and how many of its
    channels are one channel of its signals (`packed`).
    """

    module: str
    takes: Callable[[str, Any], dict[str, Taken]]
    ask: Callable[[Any, Tensor, Tensor, Given], Tensor]
    packed: int = 1

    def channels(self, config: Any) -> tuple[int, int]:
        """Those of its signals, and of what it returns."""
        out = getattr(config, "out_channels", None) or config.in_channels
        return config.in_channels // self.packed, out // self.packed

    def tokens(self, config: Any, height: int, width: int) -> int:
        """The patches of one signal, on which dynamic shifting of flow matching depends."""
        patch = 2 if self.packed > 1 else int(getattr(config, "patch_size", 2) or 2)
        return (height // patch) * (width // patch)


def network(name: str) -> Network:
    """The class of that name; that of a network which is built in Python may be of one's own, and
    is asked as a `UNet2DModel`.
    """
    return NETWORKS.get(name, NETWORKS["UNet2DModel"])


def class_of(name: str) -> Any:
    """The class itself, imported now."""
    return getattr(import_module(f"diffusers.models.{NETWORKS[name].module}"), name)


def _labels(name: str, config: Any, hidden: int) -> dict[str, Taken]:
    """The classes of a U-Net: of a table, numbers, or embeddings."""
    kind = getattr(config, "class_embed_type", None)
    if kind is None:
        count = config.num_class_embeds
        return {} if count is None else {"class_labels": Taken(classes=int(count))}
    if kind == "timestep":
        return {"class_labels": Taken()}
    if kind == "identity":
        return {"class_labels": Taken((hidden,))}
    if kind in ("projection", "simple_projection"):
        return {"class_labels": Taken((config.projection_class_embeddings_input_dim,))}
    raise InvalidInput(
        f"{name}: class_embed_type",
        given=kind,
        expected="none, timestep, identity, projection or simple_projection",
    )


def _of_unet(name: str, config: Any) -> dict[str, Taken]:
    return _labels(name, config, 4 * config.block_out_channels[0])


def _of_condition(name: str, config: Any) -> dict[str, Taken]:
    for key, known in (
        ("addition_embed_type", (None, "text", "text_time")),
        ("encoder_hid_dim_type", (None, "text_proj")),
        ("time_cond_proj_dim", (None,)),
    ):
        if getattr(config, key, None) not in known:
            said = "a distilled network, no denoiser" if "cond" in key else "pictures as a context"
            raise InvalidInput(
                f"{name}: {key}",
                given=getattr(config, key),
                expected=f"one of {', '.join(map(str, known))}: this one is for {said}",
            )
    widths = config.cross_attention_dim
    several = set(widths) if isinstance(widths, (list, tuple)) else {widths}
    if len(several) != 1:
        raise InvalidInput(
            f"{name}: cross_attention_dim", given=widths, expected="one width for all blocks"
        )
    width = getattr(config, "encoder_hid_dim", None) or several.pop()
    usual = (2 if config.time_embedding_type == "fourier" else 4) * config.block_out_channels[0]
    taken = {"encoder_hidden_states": Taken((None, width))}
    taken |= _labels(name, config, config.time_embedding_dim or usual)
    if config.addition_embed_type == "text_time":
        total, each = config.projection_class_embeddings_input_dim, config.addition_time_embed_dim
        ids = 6 if total > 6 * each else 5
        words = f"({total - ids * each}) (with {ids} time_ids; {total} in all, {each} for each id)"
        taken["text_embeds"] = Taken((None,), words=words)
        taken["time_ids"] = Taken((None,), words=f"({ids}): height, width, crop, height, width")
    return taken


def _of_dit(name: str, config: Any) -> dict[str, Taken]:
    null = int(config.num_embeds_ada_norm)
    return {"class_labels": Taken(classes=null + 1, null=null)}


def _of_prompt(name: str, config: Any) -> dict[str, Taken]:
    taken = {
        "encoder_hidden_states": Taken((None, config.joint_attention_dim)),
        "pooled_projections": Taken((config.pooled_projection_dim,)),
    }
    return taken | ({"guidance": Taken()} if getattr(config, "guidance_embeds", False) else {})


def _ask_unet(network: Any, x_t: Tensor, told: Tensor, given: Given) -> Tensor:
    result: Tensor = network(x_t, told, **given).sample
    return result


def _ask_condition(network: Any, x_t: Tensor, told: Tensor, given: Given) -> Tensor:
    added = {name: given[name] for name in ("text_embeds", "time_ids") if name in given}
    result: Tensor = network(
        x_t,
        told,
        given["encoder_hidden_states"],
        class_labels=given.get("class_labels"),
        added_cond_kwargs=added or None,
    ).sample
    return result


def _ask_transformer(network: Any, x_t: Tensor, told: Tensor, given: Given) -> Tensor:
    result: Tensor = network(hidden_states=x_t, timestep=told, **given).sample
    return result


def _ask_flux(network: Any, x_t: Tensor, told: Tensor, given: Given) -> Tensor:
    height, width = x_t.shape[2] // 2, x_t.shape[3] // 2
    rows, columns = torch.arange(height).to(x_t), torch.arange(width).to(x_t)
    grid = torch.stack(torch.meshgrid(rows, columns, indexing="ij"), dim=-1).flatten(0, 1)
    prompt = given["encoder_hidden_states"]
    out = network(
        hidden_states=patches(x_t),
        timestep=told / _OF_TIME,
        img_ids=torch.nn.functional.pad(grid, (1, 0)),
        txt_ids=x_t.new_zeros(prompt.shape[1], 3),
        **given,
    ).sample
    return unpatched(out, x_t.shape[2])


def patches(x: Tensor) -> Tensor:
    """(batch, channels, height, width) as (batch, patches, 4 channels), patches of 2 x 2."""
    return x.unfold(2, 2, 2).unfold(3, 2, 2).permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)


def unpatched(x: Tensor, height: int) -> Tensor:
    """The inverse of `patches`."""
    blocks: Tensor = x.unflatten(1, (height // 2, -1)).unflatten(3, (-1, 2, 2))
    return blocks.permute(0, 3, 1, 4, 2, 5).flatten(4, 5).flatten(2, 3)


NETWORKS: dict[str, Network] = {
    "UNet2DModel": Network("unets.unet_2d", _of_unet, _ask_unet),
    "UNet2DConditionModel": Network("unets.unet_2d_condition", _of_condition, _ask_condition),
    "DiTTransformer2DModel": Network("transformers.dit_transformer_2d", _of_dit, _ask_transformer),
    "SD3Transformer2DModel": Network("transformers.transformer_sd3", _of_prompt, _ask_transformer),
    "FluxTransformer2DModel": Network("transformers.transformer_flux", _of_prompt, _ask_flux, 4),
}
"""Those that are read, by the name of their class."""
