"""Published checkpoints of guided-diffusion and improved-diffusion, recognised by their shapes, and
what their files do not say.

The flags are those of the README of either repository (openai/guided-diffusion,
openai/improved-diffusion), and for FFHQ-256 of the configuration of DPS (arXiv:2209.14687). All are
trained on values in (-1, 1) and predict epsilon. Networks of one shape that differ in data alone
are one row.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, final

from deft.priors.adm_layout import Layout

_SIX = (1, 1, 2, 2, 4, 4)


@final
@dataclass(frozen=True)
class Published:
    """Checkpoints of one shape: their files, and what they do not say."""

    files: str
    layout: Layout
    image_size: int
    heads: dict[str, int]
    noise_schedule: str = "linear"
    diffusion_steps: int = 1000
    attention_order: str = "legacy"
    more: dict[str, Any] = field(default_factory=dict)

    def facts(self) -> dict[str, Any]:
        """What their files do not say, by the names of `Details`."""
        return {
            "image_size": self.image_size,
            **self.heads,
            "attention_order": self.attention_order,
            "noise_schedule": self.noise_schedule,
            "diffusion_steps": self.diffusion_steps,
            "prediction_type": "epsilon",
            "value_range": (-1.0, 1.0),
            **self.more,
        }


def _layout(
    width: int,
    multipliers: tuple[int, ...],
    depth: int,
    attends: int,
    classes: bool = False,
    resampling: Any = "resnet",
    scale_shift: bool = True,
) -> Layout:
    """`attends` counts the levels with attention, from the coarsest."""
    levels = len(multipliers)
    return Layout(
        in_channels=3,
        out_channels=6,
        model_channels=width,
        widths=tuple(width * m for m in multipliers),
        depth=depth,
        attention=tuple(i >= levels - attends for i in range(levels)),
        scale_shift=scale_shift,
        resampling=resampling,
        num_classes=1000 if classes else None,
    )


_BEDROOM = tuple(i == 4 for i in range(6))  # attention at 16 pixels of 256 alone


def _at_sixteen(layout: Layout) -> Layout:
    return Layout(**{**vars(layout), "attention": _BEDROOM})


PUBLISHED = (
    Published(
        "64x64_diffusion.pt",
        _layout(192, (1, 2, 3, 4), 3, 3, classes=True),
        64,
        {"num_head_channels": 64},
        noise_schedule="cosine",
        attention_order="new",
    ),
    Published(
        "128x128_diffusion.pt",
        _layout(256, (1, 1, 2, 3, 4), 2, 3, classes=True),
        128,
        {"num_heads": 4},
    ),
    Published(
        "256x256_diffusion.pt",
        _layout(256, _SIX, 2, 3, classes=True),
        256,
        {"num_head_channels": 64},
    ),
    Published(
        "256x256_diffusion_uncond.pt, lsun_bedroom.pt, lsun_cat.pt, lsun_horse.pt",
        _layout(256, _SIX, 2, 3),
        256,
        {"num_head_channels": 64},
    ),
    Published("ffhq_10m.pt", _at_sixteen(_layout(128, _SIX, 1, 2)), 256, {"num_head_channels": 64}),
    Published(
        "imagenet64_uncond_100M_1500K.pt",
        _layout(128, (1, 2, 3, 4), 3, 2, resampling="conv"),
        64,
        {"num_heads": 4},
        noise_schedule="cosine",
        diffusion_steps=4000,
        more={"rescale_timesteps": True},
    ),
    Published(
        "imagenet64_cond_270M_250K.pt",
        _layout(192, (1, 2, 3, 4), 3, 2, classes=True, resampling="conv"),
        64,
        {"num_heads": 4},
        noise_schedule="cosine",
        diffusion_steps=4000,
        more={"rescale_timesteps": False},
    ),
    Published(
        "cifar10_uncond_50M_500K.pt",
        Layout(
            **{
                **vars(_layout(128, (1, 2, 2, 2), 3, 2, resampling="conv")),
                "attention": (False, True, True, False),
            }
        ),
        32,
        {"num_heads": 4},
        noise_schedule="cosine",
        diffusion_steps=4000,
        more={"rescale_timesteps": True},
    ),
    Published(
        "lsun_uncond_100M_1200K_bs128.pt",
        _at_sixteen(_layout(128, _SIX, 2, 2, resampling="conv", scale_shift=False)),
        256,
        {"num_heads": 1},
    ),
)


def published(layout: Layout) -> Published | None:
    """The published checkpoints of that shape; None where there is none."""
    return next((row for row in PUBLISHED if row.layout == layout), None)
