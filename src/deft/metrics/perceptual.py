"""The network of LPIPS: torchvision's AlexNet or VGG-16, and the linear heads of the paper."""

from __future__ import annotations

from pathlib import Path
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deft.errors import CheckpointError, InvalidInput
from deft.metrics.weight_files import file_sha256, read_state
from deft.types import Signal

# One entry per convolution of torchvision's `features`: (index, in, out, kernel, stride, padding);
# pools by index: (kernel, stride).
_ALEX = {
    0: (3, 64, 11, 4, 2),
    3: (64, 192, 5, 1, 2),
    6: (192, 384, 3, 1, 1),
    8: (384, 256, 3, 1, 1),
    10: (256, 256, 3, 1, 1),
}
_VGG = {
    i: (a, b, 3, 1, 1)
    for i, a, b in (
        (0, 3, 64),
        (2, 64, 64),
        (5, 64, 128),
        (7, 128, 128),
        (10, 128, 256),
        (12, 256, 256),
        (14, 256, 256),
        (17, 256, 512),
        (19, 512, 512),
        (21, 512, 512),
        (24, 512, 512),
        (26, 512, 512),
        (28, 512, 512),
    )
}
_NETWORKS = {
    "alex": (_ALEX, {2: (3, 2), 5: (3, 2)}, (1, 4, 7, 9, 11), 31),
    "vgg": (_VGG, {4: (2, 2), 9: (2, 2), 16: (2, 2), 23: (2, 2)}, (3, 8, 15, 22, 29), 16),
}


@final
class LPIPS(nn.Module):
    """The perceptual distance of Zhang et al. 2018, arXiv:1801.03924 (version 0.1), between images
    in [-1, 1].

    `weights` is a state dict of torchvision's AlexNet or VGG-16, `heads` the linear heads
    (`lin0.model.1.weight`, ...) published with the paper.
    """

    shift: Tensor
    spread: Tensor

    def __init__(self, weights: str | Path, heads: str | Path, network: str = "alex") -> None:
        super().__init__()
        if network not in _NETWORKS:
            raise InvalidInput(f"LPIPS knows the networks {', '.join(_NETWORKS)}; got {network!r}.")
        convolutions, pools, self.taps, self.smallest = _NETWORKS[network]
        layers: list[nn.Module] = []
        for i in range(self.taps[-1] + 1):
            if i in convolutions:
                inside, outside, kernel, stride, padding = convolutions[i]
                layers.append(nn.Conv2d(inside, outside, kernel, stride, padding))
            else:
                layers.append(nn.MaxPool2d(*pools[i]) if i in pools else nn.ReLU())
        self.features = nn.Sequential(*layers)
        state = read_state(weights)
        _load(
            self.features,
            {
                name.removeprefix("features."): v
                for name, v in state.items()
                if name.startswith("features.")
            },
            weights,
        )
        head_state = read_state(heads)
        widths = [convolutions[tap - 1][1] for tap in self.taps]
        self.heads = nn.ParameterList()
        for layer, width in enumerate(widths):
            name = f"lin{layer}.model.1.weight"
            if name not in head_state or head_state[name].numel() != width:
                raise CheckpointError(
                    f"{heads} holds no head {name} of {width} weights for {network}; give the "
                    "heads file of that network."
                )
            self.heads.append(nn.Parameter(head_state[name].reshape(1, width, 1, 1).float()))
        self.register_buffer("shift", torch.tensor([-0.030, -0.088, -0.188]).reshape(1, 3, 1, 1))
        self.register_buffer("spread", torch.tensor([0.458, 0.448, 0.450]).reshape(1, 3, 1, 1))
        self.sha256 = (file_sha256(weights), file_sha256(heads))
        self.eval().requires_grad_(False)

    def forward(self, x: Signal, reference: Signal) -> Tensor:
        """One distance per image."""
        total = torch.zeros(len(x), device=x.device)
        for f, g, w in zip(self._activations(x), self._activations(reference), self.heads):
            gap = F.normalize(f, dim=1, eps=1e-10) - F.normalize(g, dim=1, eps=1e-10)
            total = total + (w * gap**2).sum(1).flatten(1).mean(1)
        return total

    def _activations(self, x: Signal) -> list[Tensor]:
        x = (three_channels(x, self.smallest) - self.shift) / self.spread
        kept = []
        for i, layer in enumerate(self.features):
            x = layer(x)
            if i in self.taps:
                kept.append(x)
        return kept


def _load(module: nn.Module, state: dict[str, Tensor], path: str | Path) -> None:
    wanted = module.state_dict()
    missing = [
        name for name in wanted if name not in state or state[name].shape != wanted[name].shape
    ]
    if missing:
        raise CheckpointError(
            f"{path} lacks features.{missing[0]} of shape {tuple(wanted[missing[0]].shape)}: it "
            "belongs to another network."
        )
    module.load_state_dict({name: state[name] for name in wanted})


def three_channels(x: Tensor, smallest: int = 1) -> Tensor:
    """Images of three channels, grey ones repeated. Raises `InvalidInput` for other numbers of
    channels, and below `smallest` places per axis.
    """
    if x.ndim != 4 or x.shape[1] not in (1, 3) or min(x.shape[2:]) < smallest:
        raise InvalidInput(
            f"feature networks read images of 1 or 3 channels and at least {smallest} places per "
            f"axis; got {tuple(x.shape[1:])}."
        )
    return x.expand(-1, 3, -1, -1) if x.shape[1] == 1 else x
