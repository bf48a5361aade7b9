"""The colour photographs that ship inside scikit-image, as crops: real images without a download.

Crops of the first three train, crops of the next validate, crops of the last test: no test
photograph is ever trained on.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from deft.errors import BadImage, InvalidInput
from deft.noise import mix

TRAIN = ("astronaut.png", "coffee.png", "rocket.jpg")
VALIDATION = ("motorcycle_left.png",)
TEST = ("chelsea.png",)


def crops(
    files: Sequence[str], count: int, event_shape: Sequence[int], seed: int, smallest: float = 0.3
) -> Tensor:
    """`count` crops in [-1, 1], the same number of each photograph: random places, sizes (from
    `smallest` to 1 of what fits) and flips.
    """
    from PIL import Image

    if len(event_shape) != 3 or event_shape[0] not in (1, 3):
        raise InvalidInput(
            "photographs fit priors of 1 or 3 channels; this one has signals of shape "
            f"{tuple(event_shape)}. Give --images."
        )
    channels, height, width = event_shape
    opened = [_open(name).convert("L" if channels == 1 else "RGB") for name in files]
    generator = torch.Generator().manual_seed(mix(seed, 20))
    found = []
    for i in range(count):
        image = opened[i % len(opened)]
        u = torch.rand(4, generator=generator).tolist()
        fits = min(image.width / width, image.height / height)
        scale = max(fits * smallest ** (1 - u[0]), min(1.0, fits))
        box_width, box_height = scale * width, scale * height
        left, top = u[1] * (image.width - box_width), u[2] * (image.height - box_height)
        crop = image.resize(
            (width, height),
            Image.Resampling.LANCZOS,
            box=(left, top, left + box_width, top + box_height),
        )
        pixels = (
            torch.frombuffer(bytearray(crop.tobytes()), dtype=torch.uint8)
            .reshape(height, width, channels)
            .permute(2, 0, 1)
        )
        x = pixels.float() / 127.5 - 1
        found.append(x.flip(-1) if u[3] < 0.5 else x)
    return torch.stack(found)


def _open(name: str):  # type: ignore[no-untyped-def]
    from PIL import Image

    spec = importlib.util.find_spec("skimage")
    if spec is None or spec.origin is None:
        raise InvalidInput(
            "the demo's photographs come with scikit-image: pip install 'deft-diffusion[demo]', "
            "or give your own with --images."
        )
    path = Path(spec.origin).parent / "data" / name
    if not path.exists():
        raise BadImage(f"this scikit-image has no {path}; give your own photographs with --images.")
    return Image.open(path)
