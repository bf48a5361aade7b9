"""The head phantom of Shepp and Logan: an image whose line integrals are known in closed form.

    x = sum of a_i over the ellipses i that hold a place,
    integral along a ray = sum of a_i times its chord of ellipse i

With the contrasts of Toft 1996 (The Radon Transform, table B.1), which a screen can show; places in
[-1, 1]^2.
"""

from __future__ import annotations

import torch
from torch import Tensor

# value, half axes along and across, centre (X, Y), degrees from X
_ELLIPSES = (
    (1.0, 0.69, 0.92, 0.0, 0.0, 0.0),
    (-0.8, 0.6624, 0.874, 0.0, -0.0184, 0.0),
    (-0.2, 0.11, 0.31, 0.22, 0.0, -18.0),
    (-0.2, 0.16, 0.41, -0.22, 0.0, 18.0),
    (0.1, 0.21, 0.25, 0.0, 0.35, 0.0),
    (0.1, 0.046, 0.046, 0.0, 0.1, 0.0),
    (0.1, 0.046, 0.046, 0.0, -0.1, 0.0),
    (0.1, 0.046, 0.023, -0.08, -0.605, 0.0),
    (0.1, 0.023, 0.023, 0.0, -0.606, 0.0),
    (0.1, 0.023, 0.046, 0.06, -0.605, 0.0),
)


def shepp_logan(size: int, samples: int = 8) -> Tensor:
    """The phantom, (size, size), each pixel the mean over `samples` x `samples` points within
    it.
    """
    at = (torch.arange(size * samples, dtype=torch.float64) + 0.5) * (2 / (size * samples)) - 1
    points = torch.stack(torch.meshgrid(at, -at, indexing="xy"), -1)
    fine = torch.zeros(len(at), len(at), dtype=torch.float64)
    for value, *ellipse in _ELLIPSES:
        fine += value * (_within(points, ellipse).square().sum(-1) <= 1)
    return fine.reshape(size, samples, size, samples).mean((1, 3)).to(torch.get_default_dtype())


def shepp_logan_integrals(points: Tensor, directions: Tensor) -> Tensor:
    """The integrals along the rays through `points` in the unit `directions`, both (..., 2):
    lengths as on the phantom's square, whose side is 2.
    """
    total = points.new_zeros(points.shape[:-1])
    for value, *ellipse in _ELLIPSES:
        start, direction = (
            _within(points, ellipse),
            _within(directions, [*ellipse[:2], 0.0, 0.0, ellipse[4]]),
        )
        square, product = direction.square().sum(-1), (start * direction).sum(-1)
        inside = product**2 - square * (start.square().sum(-1) - 1)
        total = total + value * 2 * inside.clamp(min=0).sqrt() / square
    return total


def _within(places: Tensor, ellipse: list[float]) -> Tensor:
    """Coordinates in which the ellipse is the unit circle."""
    along, across, x, y, degrees = ellipse
    angle = torch.deg2rad(torch.tensor(degrees, dtype=places.dtype))
    x_from, y_from = places[..., 0] - x, places[..., 1] - y
    turned = (
        (angle.cos() * x_from + angle.sin() * y_from) / along,
        (angle.cos() * y_from - angle.sin() * x_from) / across,
    )
    return torch.stack(turned, -1)
