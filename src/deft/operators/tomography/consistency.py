"""How far a sinogram is from that of any image.

||A x_k - y|| / ||y||,    x_k after k steps of conjugate gradients on A^T A x = A^T y, from zero

A sinogram is in doubt where another reading of it is much closer.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from deft.operators.base import LinearOperator
from deft.operators.solvers import conjugate_gradients
from deft.types import Measurement, norm

_STEPS = 12
_MUCH_BETTER = (
    0.7  # of the residual; of right sinograms, noisy ones too, no other reading is below 0.97
)
FITS = (
    0.02  # of y: what is left of a sinogram that fits, by rays that are integrated in another way
)


def readings(y: Measurement) -> dict[str, Measurement]:
    """Other ways in which the array of a sinogram may be meant, with their names."""
    others = {
        "the detector reversed (y.flip(-1))": y.flip(-1),
        "the views in the other order (y.flip(-2))": y.flip(-2),
        "detector and views reversed (y.flip(-1, -2))": y.flip(-1, -2),
    }
    return others | (
        {"views and detectors swapped (y.mT)": y.mT} if y.shape[-1] == y.shape[-2] else {}
    )


def residual(scan: LinearOperator, y: Measurement) -> Tensor:
    """What is left of each sinogram after some steps, as a share of it: (batch,)."""
    x = conjugate_gradients(lambda u: scan.adjoint(scan(u)), scan.adjoint(y), iterations=_STEPS)
    return norm(scan(x) - y) / norm(y).clamp(min=1e-12)


def doubts(scan: LinearOperator, y: Measurement, others: Mapping[str, Measurement]) -> list[str]:
    """At most one sentence: the first sinogram that another of the `others` fits much better than
    its own, and which one that is.
    """
    left = {name: residual(scan, reading) for name, reading in {"": y, **others}.items()}
    own = left.pop("")
    name = (
        min(left, key=lambda name: float((left[name] / own.clamp(min=1e-12)).log().mean()))
        if len(y)
        else ""
    )
    if not name:
        return []
    worse = ((left[name] < _MUCH_BETTER * own) & (own > FITS)).nonzero()[:, 0].tolist()
    if not worse:
        return []
    first, which = worse[0], ", ".join(map(str, worse[:8])) + (", ..." if len(worse) > 8 else "")
    return [
        f"the sinogram of signal {which} fits much better with {name}: a residual of "
        f"{100 * float(left[name][first]):.2g} % of y in place of "
        f"{100 * float(own[first]):.2g} %. See which detector cell is where and which way the "
        "angle turns in Tomography.conventions()."
    ]
