"""How far a sinogram is from that of any image.

||A x_k - y|| / ||y||,    x_k after k steps of conjugate gradients on A^T A x = A^T y, from zero
"""

from __future__ import annotations

from torch import Tensor

from deft.operators.base import LinearOperator, conjugate_gradients
from deft.types import Measurement, norm

_STEPS = 12
FITS = 0.02  # of y: what is left of a sinogram that fits, by rays that are integrated in another way


def residual(scan: LinearOperator, y: Measurement) -> Tensor:
    """What is left of each sinogram after some steps, as a share of it: (batch,)."""
    x = conjugate_gradients(lambda u: scan.adjoint(scan(u)), scan.adjoint(y), iterations=_STEPS)
    return norm(scan(x) - y) / norm(y).clamp(min=1e-12)
