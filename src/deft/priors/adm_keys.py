"""The weights of a guided-diffusion U-Net as those of diffusers' `UNet2DModel`, and back.

Both compute the same function: each module of one is a module of the other, by another name. Only
q, k and v are stored otherwise: one matrix of 3 C rows here, three of C there. With H heads of
c = C / H channels its rows are

    legacy    head, (q, k, v), channel of the head      (H, 3, c)
    new       (q, k, v), head, channel of the head      (3, H, c)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from deft.priors.adm_layout import GROUPS, Layout
from deft.priors.details import AttentionOrder

_RESNET = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}
_ATTENTION = {"norm": "group_norm", "proj_out": "to_out.0"}
_QKV = ("to_q", "to_k", "to_v")
HeadsOf = Callable[[int, bool], int]  # of (channels, on the way up)


def empty_unet(layout: Layout, image_size: int, heads: HeadsOf) -> nn.Module:
    """The `UNet2DModel` of a layout without weights (on the device "meta").

    Where heads differ in size, as with a fixed number of them and several widths, the
    configuration cannot say it, and heads and scale are set per attention layer.
    """
    from diffusers.models.unets.unet_2d import UNet2DModel

    resnet = layout.resampling == "resnet"
    plain = "ResnetDownsampleBlock2D" if resnet else "DownBlock2D"
    down = ["AttnDownBlock2D" if here else plain for here in layout.attention]
    up = [name.replace("Down", "Up") for name in reversed(down)]
    attends = {w for w, here in zip(layout.widths, layout.attention) if here}
    sizes = [w // heads(w, up) for w in attends | {layout.widths[-1]} for up in (False, True)]
    with torch.device("meta"):
        unet: nn.Module = UNet2DModel(
            sample_size=image_size,
            in_channels=layout.in_channels,
            out_channels=layout.out_channels,
            down_block_types=tuple(down),
            up_block_types=tuple(up),
            block_out_channels=layout.widths,
            layers_per_block=layout.depth,
            downsample_type=layout.resampling,
            upsample_type=layout.resampling,
            attention_head_dim=math.gcd(*sizes),
            norm_num_groups=GROUPS,
            attn_norm_num_groups=GROUPS,
            norm_eps=1e-5,
            resnet_time_scale_shift="scale_shift" if layout.scale_shift else "default",
            num_class_embeds=layout.num_classes,
        )
    for theirs, ours, kind in modules(layout):
        if kind == "attention":
            attention: Any = unet.get_submodule(ours)
            width = attention.to_q.in_features
            attention.heads = heads(width, theirs.startswith("output"))
            attention.scale = (width // attention.heads) ** -0.5
    return unet


def modules(layout: Layout) -> Iterator[tuple[str, str, str]]:
    """The modules: the name here, the name in `UNet2DModel`, and the kind (resnet, attention, or
    plain, with a weight and perhaps a bias).
    """
    yield "time_embed.0", "time_embedding.linear_1", "plain"
    yield "time_embed.2", "time_embedding.linear_2", "plain"
    yield "input_blocks.0.0", "conv_in", "plain"
    levels, depth, resnet = layout.levels, layout.depth, layout.resampling == "resnet"
    for i in range(levels):
        start = 1 + i * (depth + 1)
        for j in range(depth):
            yield f"input_blocks.{start + j}.0", f"down_blocks.{i}.resnets.{j}", "resnet"
            if layout.attention[i]:
                at = f"down_blocks.{i}.attentions.{j}"
                yield f"input_blocks.{start + j}.1", at, "attention"
        if i < levels - 1:
            here, there = f"input_blocks.{start + depth}.0", f"down_blocks.{i}.downsamplers.0"
            yield (here, there, "resnet") if resnet else (f"{here}.op", f"{there}.conv", "plain")
    yield "middle_block.0", "mid_block.resnets.0", "resnet"
    yield "middle_block.1", "mid_block.attentions.0", "attention"
    yield "middle_block.2", "mid_block.resnets.1", "resnet"
    for u, attends in enumerate(reversed(layout.attention)):
        for j in range(depth + 1):
            n = u * (depth + 1) + j
            yield f"output_blocks.{n}.0", f"up_blocks.{u}.resnets.{j}", "resnet"
            if attends:
                yield f"output_blocks.{n}.1", f"up_blocks.{u}.attentions.{j}", "attention"
        if u < levels - 1:
            here, there = f"output_blocks.{n}.{1 + attends}", f"up_blocks.{u}.upsamplers.0"
            yield (here, there, "resnet") if resnet else (f"{here}.conv", f"{there}.conv", "plain")
    yield "out.0", "conv_norm_out", "plain"
    yield "out.2", "conv_out", "plain"
    if layout.num_classes is not None:
        yield "label_emb", "class_embedding", "plain"


def _pairs(layout: Layout) -> Iterator[tuple[str, str]]:
    """The submodules with a weight, and perhaps a bias, but those of q, k and v."""
    for theirs, ours, kind in modules(layout):
        inside = {"resnet": _RESNET, "attention": _ATTENTION}.get(kind, {"": ""})
        for a, b in inside.items():
            yield f"{theirs}.{a}".rstrip("."), f"{ours}.{b}".rstrip(".")


def wanted(unet: nn.Module, layout: Layout) -> dict[str, tuple[int, ...]]:
    """The names and shapes of the weights here, for a `UNet2DModel` of that layout."""
    shapes = {name: tuple(value.shape) for name, value in unet.state_dict().items()}
    found = {
        f"{theirs}.{part}": shapes[f"{ours}.{part}"]
        for theirs, ours in _pairs(layout)
        for part in ("weight", "bias")
        if f"{ours}.{part}" in shapes
    }
    for theirs, _, kind in modules(layout):
        if kind == "attention":
            c = found[f"{theirs}.norm.weight"][0]
            found[f"{theirs}.qkv.weight"], found[f"{theirs}.qkv.bias"] = (3 * c, c, 1), (3 * c,)
            found[f"{theirs}.proj_out.weight"] = (c, c, 1)
    return found


def to_diffusers(
    tensors: Mapping[str, Tensor], unet: nn.Module, layout: Layout, order: AttentionOrder
) -> dict[str, Tensor]:
    """The state of `unet` from weights that are all those `wanted`."""
    shapes = {name: value.shape for name, value in unet.state_dict().items()}
    state = {
        f"{ours}.{part}": tensors[f"{theirs}.{part}"].reshape(shapes[f"{ours}.{part}"])
        for theirs, ours in _pairs(layout)
        for part in ("weight", "bias")
        if f"{ours}.{part}" in shapes
    }
    for theirs, ours, kind in modules(layout):
        if kind != "attention":
            continue
        heads = int(unet.get_submodule(ours).heads)  # type: ignore[arg-type]
        for part in ("weight", "bias"):
            rows = tensors[f"{theirs}.qkv.{part}"]
            rows = rows.flatten(1) if part == "weight" else rows
            for name, value in zip(_QKV, split(rows, heads, order)):
                state[f"{ours}.{name}.{part}"] = value
    return state


def from_diffusers(unet: nn.Module, layout: Layout, order: AttentionOrder) -> dict[str, Tensor]:
    """The weights of a `UNet2DModel` of that layout by the names of guided-diffusion: the inverse
    of `to_diffusers`.
    """
    state, shapes = unet.state_dict(), wanted(unet, layout)
    found = {
        f"{theirs}.{part}": state[f"{ours}.{part}"].reshape(shapes[f"{theirs}.{part}"])
        for theirs, ours in _pairs(layout)
        for part in ("weight", "bias")
        if f"{ours}.{part}" in state
    }
    for theirs, ours, kind in modules(layout):
        if kind == "attention":
            heads = int(unet.get_submodule(ours).heads)  # type: ignore[arg-type]
            for part in ("weight", "bias"):
                three = torch.stack([state[f"{ours}.{name}.{part}"] for name in _QKV])
                name = f"{theirs}.qkv.{part}"
                found[name] = joined(three, heads, order).reshape(shapes[name])
    return {name: value.clone() for name, value in found.items()}


def split(rows: Tensor, heads: int, order: AttentionOrder) -> Tensor:
    """q, k and v, (3, C, ...), of the (3 C, ...) rows of one matrix."""
    c, rest = len(rows) // 3, rows.shape[1:]
    if order == "new":
        return rows.reshape(3, c, *rest)
    return rows.reshape(heads, 3, c // heads, *rest).transpose(0, 1).reshape(3, c, *rest)


def joined(three: Tensor, heads: int, order: AttentionOrder) -> Tensor:
    """The inverse of `split`."""
    c, rest = three.shape[1], three.shape[2:]
    if order == "new":
        return three.reshape(3 * c, *rest)
    return three.reshape(3, heads, c // heads, *rest).transpose(0, 1).reshape(3 * c, *rest)
