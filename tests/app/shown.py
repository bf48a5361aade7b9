"""Pictures of the program's own making, and what a page would send of a painted mask."""

from pathlib import Path

import numpy as np
from PIL import Image

from deft.app.limits import Limits
from deft.app.work import Desk

DIGITS = "h-digits-32-inpainting"


def digit(path: Path, size: tuple[int, int] = (32, 32), colour: bool = False) -> Path:
    """A bright ring on black, as a file."""
    i, j = np.indices(size)
    radius = np.hypot(i - size[0] / 2 + 0.5, j - size[1] / 2 + 0.5)
    ring = np.where(np.abs(radius - size[0] / 4) < 2, 230, 0).astype(np.uint8)
    Image.fromarray(np.stack([ring] * 3, -1) if colour else ring).save(path)
    return path


def painted(mask: np.ndarray) -> dict[str, object]:
    """What the page sends where `mask` is 0."""
    rows = "".join("0" if one else "1" for one in mask.reshape(-1))
    return {"height": mask.shape[0], "width": mask.shape[1], "painted": rows}


def hole(size: int = 32) -> np.ndarray:
    """A mask with a hole that is not symmetric."""
    mask = np.ones((size, size), np.float32)
    mask[4:15, 10:21] = 0
    return mask


def desk(folder: Path, **limits: float) -> Desk:
    return Desk((DIGITS,), Limits(**limits), folder)
