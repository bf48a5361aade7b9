"""The shape of a U-Net of guided-diffusion (ADM) or improved-diffusion, read from its weights.

    input_blocks    1 convolution; at each level `depth` blocks, then a step down but at the last
    middle_block    block, attention, block
    output_blocks   at each level, from the last to the first, `depth` + 1 blocks; a step up in the
                        last of them but at the first level

Dhariwal & Nichol 2021, arXiv:2105.05233, appendix B. The weights say widths, depth, places of
attention, scale-shift, kind of resampling, classes, and whether the variance is learned. They do
not say heads, the order of q, k and v, resolution, schedule, prediction or range.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, final

from torch import Tensor

from deft.errors import CheckpointError, InvalidInput

GROUPS = 32  # of every normalisation
_BLOCK = re.compile(r"(input|output)_blocks\.(\d+)\.(\d+)\.")
_MOST_BLOCKS = 1000


@final
@dataclass(frozen=True)
class Layout:
    """What the weights say; `widths`, `attention` run over the levels, from the finest."""

    in_channels: int
    out_channels: int
    model_channels: int
    widths: tuple[int, ...]
    depth: int
    attention: tuple[bool, ...]
    scale_shift: bool
    resampling: Literal["resnet", "conv"]
    num_classes: int | None

    @property
    def levels(self) -> int:
        return len(self.widths)

    @property
    def learned_variance(self) -> bool:
        return self.out_channels == 2 * self.in_channels

    @property
    def multipliers(self) -> tuple[float, ...]:
        """The widths in units of the first convolution's."""
        return tuple(width / self.model_channels for width in self.widths)

    def rows(self) -> dict[str, str]:
        """What the weights say, in words."""
        placed = [f"{width}{' with attention' if a else ''}" for width, a in self._places()]
        return {
            "channels": f"{self.in_channels} in, {self.out_channels} out"
            f"{', of which the second half is the variance' if self.learned_variance else ''}",
            "widths": ", ".join(placed),
            "depth": f"{self.depth} blocks a level",
            "normalisation": "scale and shift by the time" if self.scale_shift else "plain",
            "resampling": {"resnet": "residual blocks", "conv": "convolutions"}[self.resampling],
            "classes": str(self.num_classes or "none"),
        }

    def _places(self) -> list[tuple[int, bool]]:
        return list(zip(self.widths, self.attention))


def is_adm(tensors: Mapping[str, Tensor]) -> bool:
    """Whether these are weights of such a network (of pixels; a latent one has longer names)."""
    return {"input_blocks.0.0.weight", "time_embed.0.weight"} <= set(tensors)


def layout(path: Path, tensors: Mapping[str, Tensor]) -> Layout:
    """The layout of the network that these weights are of.

    Raises `InvalidInput` for a kind of network that is not read (a classifier, an upsampler, text,
    one or three dimensions), with the reason, and `CheckpointError` where weights are missing.
    """
    _check_kind(path, tensors)
    blocks: dict[str, set[int]] = {"input": set(), "output": set()}
    ups = {"resnet": 0, "conv": 0}
    for name in tensors:
        found = _BLOCK.match(name)
        if not found:
            continue
        blocks[found[1]].add(int(found[2]))
        if found[1] == "output" and int(found[3]) > 0:
            ups["resnet"] += name.endswith("in_layers.2.weight")
            ups["conv"] += name.endswith(f"{found[3]}.conv.weight")
    outputs, levels = len(blocks["output"]), max(ups.values()) + 1
    if levels == 1 or all(ups.values()):
        raise InvalidInput(
            f"{path}",
            given="weights without a step up in resolution"
            if levels == 1
            else "steps up of two kinds",
            expected="a network of two levels or more, resampled by residual blocks or by "
            "convolutions (not by conv_resample=False)",
        )
    depth = outputs // levels - 1
    inputs = 1 + levels * depth + levels - 1
    if outputs % levels or depth < 1 or len(blocks["input"]) != inputs or inputs > _MOST_BLOCKS:
        raise CheckpointError(
            f"{path}",
            given=f"{len(blocks['input'])} input_blocks, {outputs} output_blocks and "
            f"{levels - 1} steps up",
            expected=f"at {levels} levels, d + 1 output_blocks each and {levels} (d + 1) "
            "input_blocks",
            advice="the file lacks weights",
        )
    firsts = [f"input_blocks.{1 + i * (depth + 1)}" for i in range(levels)]
    model_channels = _shape(path, tensors, "input_blocks.0.0.weight")[0]
    told = _shape(path, tensors, "time_embed.0.weight")[1]
    widths = tuple(_shape(path, tensors, f"{at}.0.out_layers.3.weight")[0] for at in firsts)
    if told != model_channels:
        raise InvalidInput(
            f"{path}",
            given=f"a first convolution of {model_channels} channels and an embedding of the time "
            f"of {told} (channel_mult {model_channels / told:g} at the first level, as the "
            "ImageNet-512 network has)",
            expected="as many of either: UNet2DModel of diffusers, which represents these "
            "networks, ties them",
            advice="use a network for 64 to 256 pixels, or wrap the original with CallablePrior",
        )
    odd = [width for width in (model_channels, *widths) if width % GROUPS]
    if odd:
        raise InvalidInput(
            f"{path}",
            given=f"a width of {odd[0]}",
            expected=f"multiples of {GROUPS}, the groups of each normalisation",
        )
    return Layout(
        in_channels=_shape(path, tensors, "input_blocks.0.0.weight")[1],
        out_channels=_shape(path, tensors, "out.2.weight")[0],
        model_channels=model_channels,
        widths=widths,
        depth=depth,
        attention=tuple(f"{at}.1.qkv.weight" in tensors for at in firsts),
        scale_shift=_shape(path, tensors, f"{firsts[0]}.0.emb_layers.1.weight")[0] == 2 * widths[0],
        resampling="resnet" if ups["resnet"] else "conv",
        num_classes=len(tensors["label_emb.weight"]) if "label_emb.weight" in tensors else None,
    )


def _check_kind(path: Path, tensors: Mapping[str, Tensor]) -> None:
    expected = "a diffusion prior of guided-diffusion or improved-diffusion, of images"
    first = tensors["input_blocks.0.0.weight"]
    if not any(name.startswith("output_blocks.") for name in tensors):
        raise InvalidInput(f"{path}", given="a classifier (no output_blocks)", expected=expected)
    if any(
        name.startswith(("transformer.", "text_")) or ".encoder_kv." in name for name in tensors
    ):
        raise InvalidInput(f"{path}", given="a text-conditional network", expected=expected)
    if first.ndim != 4:
        raise InvalidInput(
            f"{path}",
            given=f"convolutions over {max(first.ndim - 2, 0)} axes",
            expected="convolutions over 2",
        )
    outs = tensors["out.2.weight"].shape[0] if "out.2.weight" in tensors else 0
    if (outs and outs not in (first.shape[1], 2 * first.shape[1])) or first.shape[1] == outs == 6:
        raise InvalidInput(
            f"{path}",
            given=f"a network of {first.shape[1]} channels in and {outs} out",
            expected="as many, or twice as many where the variance is learned",
            advice="an upsampler reads a small image beside x_t; it is no prior",
        )


def _shape(path: Path, tensors: Mapping[str, Tensor], name: str) -> tuple[int, ...]:
    if name not in tensors or tensors[name].ndim < 2:
        found = tuple(tensors[name].shape) if name in tensors else "nothing"
        raise CheckpointError(
            f"{path}: {name}", given=found, expected="a weight of a convolution or a linear layer"
        )
    return tuple(tensors[name].shape)
