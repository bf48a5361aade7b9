"""Motifs of backbones: some residues are seen, in a known frame or up to a rigid motion of each
group.

    fixed      y_k = x_0[index_k] + sigma_y eps                            linear: rows of x_0
    aligned    y_k = R_g x_0[index_k] + c_g + sigma_y eps, g = group_k     R_g, c_g not known

A signal is the trace of C-alpha atoms, (length, 3), in angstrom. Signals of one batch may have
motifs of different lengths: rows of y whose index is -1 do not exist, and are no measurements.

Of an aligned motif the residual is what is left after the best motion of y,

    residual = R y + c - x_0[index],    (R, c) = argmin || R y + c - x_0[index] ||^2 in each group

(`deft.geometry.kabsch`), and log p(y | x_0) = -||residual||^2 / (2 sigma_y^2) + const, the largest
over all motions: no density of y. By the envelope theorem its gradient is that at fixed R, so that
nothing is differentiated through R. The residual has no part along the motions that are not known,
and J = dA / dx_0 is a choice of rows, so that the pull of both frames is
J^T residual / (r2 + s2).
"""

from __future__ import annotations

from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from deft import checks
from deft.errors import InvalidInput
from deft.geometry import RigidMotion, kabsch
from deft.operators.base import ForwardOperator, SpectralOperator
from deft.operators.checked import Shape
from deft.types import Measurement, Signal, Times, expand

FRAMES = ("aligned", "fixed")


def Motif(
    index: Tensor, group: Tensor | None, length: int, frame: str = "aligned"
) -> FixedMotif | AlignedMotif:
    """The motif of signals of `length` residues: `AlignedMotif`, or `FixedMotif` with
    frame="fixed".
    """
    checks.name("frame", frame, FRAMES)
    return (FixedMotif if frame == "fixed" else AlignedMotif)(index, group, length)


class _Rows(ForwardOperator):
    """Rows of a signal. `index` (signals or 1, rows): which residues, -1 for a row that does not
    exist; `group`, of the same shape: which residues move as one, from 0; None for all as one.
    """

    index: Int[Tensor, "signals rows"]
    group: Int[Tensor, "signals rows"]
    signal_is = "C-alpha atoms of a chain in angstrom"
    measurement_is = "the C-alpha atoms of the motif in angstrom, one row for each of its residues"
    _lift_is = "the motif in its own frame, and zero elsewhere"

    def __init__(self, index: Tensor, group: Tensor | None, length: int) -> None:
        super().__init__()
        length = checks.whole("length", length, meaning="of residues of the chain")
        self.event_shape = (length, 3)
        index, group = _checked_rows(index, group, length)
        self.per_signal("index", index)
        self.per_signal("group", group)
        self.groups = int(group.max()) + 1 if group.numel() and not group.is_meta else 1

    @property
    def exists(self) -> Tensor:
        """Which rows exist: (signals, rows, 1)."""
        return (self.index >= 0)[..., None]

    def measurement_shape(self) -> Shape:
        return (self.index.shape[1], 3)

    def forward(self, x_0: Signal) -> Measurement:
        """The rows `index` of each signal, zero where there is none."""
        return self.exists * x_0.gather(1, self._places(x_0))

    def scattered(self, y: Measurement) -> Signal:
        """Each row at its residue, zero elsewhere: the adjoint of `forward`."""
        assert self.event_shape is not None
        zero = y.new_zeros(len(y), *self.event_shape)
        return zero.scatter_add(1, self._places(y), self.exists * y)

    def _places(self, like: Tensor) -> Tensor:
        """The index as `gather` takes it."""
        return self.index.clamp(min=0)[..., None].expand(len(like), -1, 3)

    def lift(self, y: Measurement) -> Signal:
        """Each row at its residue, zero elsewhere."""
        return self.scattered(y)

    def coverage(self, like: Signal) -> Float[Tensor, "batch length 1"]:
        """1 at the residues of the motif, 0 elsewhere."""
        one = torch.ones(len(like), self.index.shape[1], 3, dtype=like.dtype, device=like.device)
        return self.scattered(one)[..., :1]

    def observed(self, y: Measurement) -> Measurement:
        return self.exists * y

    def count(self, y: Measurement) -> Tensor:
        return (3 * self.exists.sum(dim=(1, 2))).to(y.dtype).expand(len(y))


@final
class FixedMotif(_Rows, SpectralOperator):
    """Residues of a chain whose coordinates are known in its own frame: y = x_0[index].

    U = I, V takes each row to its residue, s = 1; rows that do not exist have s = 0, and in V
    residues that are not of the motif.
    """

    _all: Tensor

    def __init__(self, index: Tensor, group: Tensor | None, length: int) -> None:
        super().__init__(index, group, length)
        if self.index.shape[1] > length:
            raise InvalidInput(
                "index of a motif",
                given=f"{self.index.shape[1]} rows",
                expected=f"at most {length} rows, one for each residue",
            )
        taken = torch.zeros(len(self.index), length + 1, device=self.index.device)
        taken = taken.scatter(1, self.index.clamp(min=-1) % (length + 1), 1.0)[:, :length]
        left = taken.argsort(dim=1, stable=True)[:, : self.index.shape[1]]
        missing = self.index < 0
        spare = left.gather(1, (missing.cumsum(1) - 1).clamp(min=0))
        self.per_signal("_all", torch.where(missing, spare, self.index))

    def adjoint(self, y: Measurement) -> Signal:
        return self.scattered(y)

    def linear(self, x_0: Signal) -> Measurement:
        return self(x_0)

    def solve(self, v: Measurement, r2: Times, s2: Times) -> Measurement:
        """v / (r2 + s2), v / s2 in rows that do not exist, and 0 where that divides by 0."""
        r2, s2 = expand(torch.as_tensor(r2), v).to(v), expand(torch.as_tensor(s2), v).to(v)
        variance = r2 * self.exists + s2
        return v * torch.where(variance > 0, 1 / torch.where(variance > 0, variance, 1.0), 0.0)

    def singular_values(self, like: Tensor) -> Tensor:
        return self.exists.to(like.dtype)

    def v_t(self, x_0: Signal) -> Tensor:
        return x_0.gather(1, self._all[..., None].expand(len(x_0), -1, 3))

    def v(self, coefficients: Tensor) -> Signal:
        assert self.event_shape is not None
        zero = coefficients.new_zeros(len(coefficients), *self.event_shape)
        return zero.scatter(1, self._all[..., None].expand(len(coefficients), -1, 3), coefficients)

    def u_t(self, y: Measurement) -> Tensor:
        return y

    def u(self, coefficients: Tensor) -> Measurement:
        return coefficients


@final
class AlignedMotif(_Rows):
    """Residues of a chain that are known up to a rigid motion of each group; mirror images differ.

    `forward` gives the residues in the frame of x_0; `difference`, and with it every residual and
    likelihood, moves y first, so that nothing depends on the frame in which y came. A group of one
    residue says nothing, one of two their distance. The likelihood is no density of y, and no
    evidence can be computed of it.
    """

    symmetries = "a rotation and a translation of the whole chain, and of each group of its motif"
    density = False
    _first: Tensor

    def __init__(self, index: Tensor, group: Tensor | None, length: int) -> None:
        super().__init__(index, group, length)
        first = (self.index < 0).long().argsort(dim=1, stable=True)[:, :length]
        self.per_signal("_first", first)  # rows that exist, which are no more than residues
        index, group = self.index.gather(1, first), self.group.gather(1, first)
        self.fixed = FixedMotif(index, group, length)

    def motions(self, y: Measurement, rows: Measurement) -> RigidMotion:
        """The motion of each group that brings y nearest to `rows`, for each row that of its
        group: R (batch, rows, 3, 3), c (batch, rows, 3).
        """
        batch, m = len(y), self.index.shape[1]
        of = self._of_group(batch)
        shape = (batch, self.groups, m, 3)
        found = kabsch(y[:, None].expand(shape), rows[:, None].expand(shape), of.to(y.dtype))
        which = self.group.clamp(min=0).expand(batch, m)
        rotation = found.rotation.gather(1, which[..., None, None].expand(-1, -1, 3, 3))
        translation = found.translation.gather(1, which[..., None].expand(-1, -1, 3))
        return RigidMotion(rotation, translation)

    def placed(self, y: Measurement, rows: Measurement) -> Measurement:
        """R y + c in each group: y, brought nearest to `rows`; zero in rows that do not exist."""
        motion = self.motions(y, rows)
        moved = (motion.rotation @ y[..., None])[..., 0] + motion.translation
        return self.exists * moved

    def turned(self, y: Measurement, rotation: Float[Tensor, "batch groups 3 3"]) -> Measurement:
        """y with each group centred at 0 and turned; zero in rows that do not exist."""
        of = self._of_group(len(y)).to(y.dtype)
        centre = (of @ y) / of.sum(-1, keepdim=True).clamp(min=1)
        which = self.group.clamp(min=0).expand(len(y), -1)
        centred = y - centre.gather(1, which[..., None].expand(-1, -1, 3))
        own = rotation.gather(1, which[..., None, None].expand(-1, -1, 3, 3))
        return self.exists * (own @ centred[..., None])[..., 0]

    def _of_group(self, batch: int) -> Tensor:
        """Which rows are of each group: (batch, groups, rows)."""
        groups = torch.arange(self.groups, device=self.group.device)
        return (self.group[:, None] == groups[:, None]).expand(batch, -1, -1)

    def difference(self, y: Measurement, predicted: Measurement) -> Measurement:
        """R y + c - predicted in each group."""
        return self.placed(y, predicted) - self.observed(predicted)

    def in_frame(
        self, y: Measurement, x_0: Signal
    ) -> tuple[ForwardOperator, Float[Tensor, "batch framed 3"]]:
        """The residues as a fixed motif, each group moved nearest to its place in x_0; no gradient
        passes through the rotation.
        """
        placed = self.placed(y, self(x_0))
        first = self._first[..., None].expand(len(placed), -1, 3)
        return self.fixed, placed.gather(1, first)

    def pull(self, x_0: Signal, residual: Measurement, r2: Times, s2: Times) -> Signal:
        """J^T residual / (r2 + s2), with J the choice of rows."""
        r2, s2 = expand(torch.as_tensor(r2), x_0).to(x_0), expand(torch.as_tensor(s2), x_0).to(x_0)
        return self.scattered(residual) / (r2 + s2)

    def align(self, x: Signal, reference: Signal) -> Signal:
        """x after the rigid motion of the whole chain that brings the residues of its motif, of all
        groups together, nearest to those of `reference`; places that are 0, where there is no
        residue, stay so.
        """
        seen = self.exists[..., 0].expand(len(x), -1).to(x.dtype)
        return kabsch(self(x), self(reference), seen)(x) * (x != 0).any(-1, keepdim=True)


def _checked_rows(index: Tensor, group: Tensor | None, length: int) -> tuple[Tensor, Tensor]:
    """Index and group as they are kept, -1 in both where there is no row."""
    expected = "(signals or 1, rows): whole numbers, -1 for a row that does not exist"
    for name, value in (("index", index), ("group", group)):
        if value is None:
            continue
        if not isinstance(value, Tensor) or value.is_floating_point() or value.dtype == torch.bool:
            kind = str(value.dtype) if isinstance(value, Tensor) else type(value).__name__
            raise InvalidInput(f"{name} of a motif", given=kind, expected=f"a tensor {expected}")
        if value.ndim != 2 or value.shape != index.shape or not value.shape[1]:
            raise InvalidInput(
                f"{name} of a motif", given=f"the shape {tuple(value.shape)}", expected=expected
            )
    index = index.long()
    exists = index >= 0
    group = torch.zeros_like(index) if group is None else group.long()
    group = torch.where(exists, group, -1)
    rows = index.shape[1]
    if index.is_meta or not index.numel():
        return index, group
    if int(index.max()) >= length or int(index.min()) < -1:
        raise InvalidInput(
            "index of a motif",
            given=f"residues {int(index.min())} to {int(index.max())}",
            expected=f"residues 0 to {length - 1}",
        )
    ordered = torch.where(exists, index, length + torch.arange(rows, device=index.device)).sort(1)
    if bool((ordered.values.diff(dim=1) == 0).any()):
        raise InvalidInput(
            "index of a motif", given="a residue twice", expected="every residue at most once"
        )
    if int(group.max()) >= rows or bool((group[exists] < 0).any()):
        raise InvalidInput(
            "group of a motif",
            given=f"groups {int(group.min())} to {int(group.max())}",
            expected=f"0 to {rows - 1}, no more groups than rows",
        )
    return index, group
