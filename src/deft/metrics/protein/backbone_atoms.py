"""N, C, O and CB of a backbone, rebuilt from its C-alpha trace.

The peptide plane between residues i and i + 1 holds C_i, O_i and N_{i+1}. In the frame with its
origin in the middle of x_i and x_{i+1}, e_1 along x_{i+1} - x_i, and e_2 along the part of
x_i - x_{i-1} that is orthogonal to e_1, their nine coordinates are linear in

    (1, cos k tau, sin k tau; k = 1 .. 4)  x  (1, u, v, u^2, u v, v^2)

with tau the torsion of x_{i-1} .. x_{i+2}, u = cos(bend at i) and v = cos(bend at i + 1). The
coefficients are a ridge regression on full-atom files (`recipes/fit_backbone_atoms.py`), kept in
`backbone_atoms.json` with the error on files that were not fitted. Two residues are added in
thought at each end, which repeat the bend and the torsion there, so that the first N and the last
C and O exist; they are the least certain. Bonds of the trace are taken for trans.

`restored_bonds` first sets all bonds to 3.8 angstrom by the least movement (SHAKE: Newton's method
for the multipliers of |x_{i+1} - x_i|^2 = 3.8^2, each along the bond as it was),
since networks that read bond angles are far more sensitive to these than to the fold.
"""

from __future__ import annotations

import functools
import json
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from deft.errors import InvalidInput
from deft.metrics.protein.geometry import BOND
from deft.metrics.protein.traces import Present, Trace, checked

Backbone = Float[Tensor, "chains length 4 3"]
_FILE = Path(__file__).with_name("backbone_atoms.json")
_TURNS, _SHORTEST = 4, 4
_ROUNDS, _MORE, _ENOUGH = 50, 500, 1e-6


def rebuilt(x: Trace, mask: Present | None = None) -> Backbone:
    """N, CA, C and O of each residue in angstrom: (chains, length, 4, 3); 0 for padding.

    Raises `InvalidInput` for chains of fewer than 4 residues.
    """
    x, mask = checked(x, mask)
    _check_length(mask)
    weights = torch.tensor(coefficients(), dtype=torch.double, device=x.device)
    found = x.new_zeros(*x.shape[:2], 4, 3)
    for count in mask.sum(1).unique().tolist():
        rows = (mask.sum(1) == count).nonzero()[:, 0]
        longer = extended(x[rows, :count])
        origin, frame, features = planes(longer)
        local = (features @ weights).unflatten(-1, (3, 3))  # C, O, N of each plane
        atoms = origin[..., None, :] + local @ frame
        c, o, n = atoms.unbind(-2)
        parts = (n[:, :-1], x[rows, :count], c[:, 1:], o[:, 1:])
        found[rows, :count] = torch.stack(parts, 2)
    return found


def extended(x: Trace) -> Tensor:
    """Chains of one length with two residues more at each end: (chains, length + 4, 3)."""
    for _ in range(2):
        x = torch.cat([_next(x[:, :4]), x, _next(x[:, -4:].flip(1))], 1)
    return x


def planes(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of every four residues in a row: the origin (chains, length - 3, 3) and the frame, whose rows
    are its axes (chains, length - 3, 3, 3), of the plane in their middle; and the features
    (chains, length - 3, 54).
    """
    steps = F.normalize(x[:, 1:] - x[:, :-1], dim=-1)
    a, b, c = steps[:, :-2], steps[:, 1:-1], steps[:, 2:]
    u, v = (a * b).sum(-1), (b * c).sum(-1)
    side = F.normalize(a - u[..., None] * b, dim=-1)
    frame = torch.stack([b, side, torch.linalg.cross(b, side)], -2)
    on = c - v[..., None] * b  # where the next step leads, seen along b
    tau = torch.atan2((on * frame[..., 2, :]).sum(-1), (on * side).sum(-1))
    turns = [torch.ones_like(tau)]
    for k in range(1, _TURNS + 1):
        turns += [torch.cos(k * tau), torch.sin(k * tau)]
    bends = torch.stack([torch.ones_like(u), u, v, u * u, u * v, v * v], -1)
    features = (torch.stack(turns, -1)[..., None] * bends[..., None, :]).flatten(-2)
    return (x[:, 1:-2] + x[:, 2:-1]) / 2, frame, features


@functools.cache
def coefficients() -> list[list[float]]:
    """The coefficients that ship: 54 features, nine coordinates."""
    found: list[list[float]] = json.loads(_FILE.read_text())["coefficients"]
    return found


def ideal_cb(
    backbone: Tensor, length: float = 1.522, bend: float = 110.408967, torsion: float = -122.784855
) -> Tensor:
    """CB of each residue at its ideal place: `length` from CA, with the angle N, CA, CB and the
    torsion C, N, CA, CB, in degrees: (..., length, 3) of (..., length, 3 or more, 3).
    """
    n, ca, c = backbone[..., 0, :], backbone[..., 1, :], backbone[..., 2, :]
    return placed_atom(c, n, ca, length, bend, torsion)


def placed_atom(
    one: Tensor, two: Tensor, three: Tensor, length: float, bend: float, torsion: float
) -> Tensor:
    """The point at `length` from `three` that makes the angle `bend` with `two` and the torsion
    `torsion` with `one`, in degrees.
    """
    back = F.normalize(two - three, dim=-1)
    normal = F.normalize(torch.linalg.cross(two - one, back), dim=-1)
    across = torch.linalg.cross(normal, back)
    bend, torsion = math.radians(bend), math.radians(torsion)
    flat = math.cos(torsion) * across - math.sin(torsion) * normal
    found: Tensor = three + length * (math.cos(bend) * back + math.sin(bend) * flat)
    return found


def restored_bonds(x: Trace, mask: Present | None = None, length: float = BOND) -> Trace:
    """The chains with all bonds of `length` angstrom, each residue moved as little as needed.

    Done where all |b^2 - length^2| < 1e-6. A chain that does not get there in 50 rounds is begun
    anew with the multipliers along its bonds as they are then, which moves it a little more, for at
    most 500 rounds. A chain that is still not there, as one with two residues at one place may be,
    is returned as it was left.
    """
    x, mask = checked(x, mask)
    found = x.clone()
    rows = torch.arange(len(x), device=x.device)
    for fixed, rounds in ((True, _ROUNDS), (False, _MORE)):
        found[rows] = x[rows]
        for left in range(rounds, -1, -1):
            now, there = found[rows], mask[rows, 1:]
            steps = now[:, 1:] - now[:, :-1]
            off = (steps.square().sum(-1) - length**2).masked_fill(~there, 0.0)
            open_ = ~(off.abs() < _ENOUGH).all(1)  # or not a number
            rows, now, there = rows[open_], now[open_], there[open_]
            if not left or not len(rows):
                break
            before = x[rows, 1:] - x[rows, :-1] if fixed else steps[open_]
            push = _push(steps[open_], before, off[open_], there)
            now[:, :-1] += push
            now[:, 1:] -= push
            found[rows] = now
    return found


def _push(steps: Tensor, before: Tensor, off: Tensor, there: Tensor) -> Tensor:
    """How far the ends of each bond are moved along `before`: Newton's step for |step_i|^2."""
    table = torch.diag_embed(4 * (steps * before).sum(-1))
    side = -2 * (steps[:, :-1] * before[:, 1:]).sum(-1)
    other = -2 * (steps[:, 1:] * before[:, :-1]).sum(-1)
    table = table + torch.diag_embed(side, 1) + torch.diag_embed(other, -1)
    both = there[:, :, None] & there[:, None, :]
    table = table.masked_fill(~both, 0.0) + torch.diag_embed((~there).double())
    table = table + 1e-6 * torch.eye(table.shape[1], dtype=table.dtype, device=steps.device)
    found: Tensor = torch.linalg.solve(table, off[..., None]) * before
    return found


def _next(last: Tensor) -> Tensor:
    """One residue more at the end of chains whose last four residues are given in reverse order:
    the same bond length, bend and torsion again.
    """
    d, c, b, a = last.unbind(1)  # d is the end
    bend = torch.atan2(torch.linalg.cross(c - b, a - b).norm(dim=-1), ((c - b) * (a - b)).sum(-1))
    one, two, three = b - a, c - b, d - c
    left, right = torch.linalg.cross(one, two), torch.linalg.cross(two, three)
    sine = (torch.linalg.cross(left, right) * two).sum(-1) / two.norm(dim=-1).clamp(min=1e-12)
    torsion = torch.atan2(sine, (left * right).sum(-1))
    back = F.normalize(c - d, dim=-1)
    normal = F.normalize(torch.linalg.cross(c - b, back), dim=-1)
    across = torch.linalg.cross(normal, back)
    bend, torsion = bend[:, None], torsion[:, None]
    flat = torch.cos(torsion) * across - torch.sin(torsion) * normal
    found: Tensor = d + BOND * (torch.cos(bend) * back + torch.sin(bend) * flat)
    return found[:, None]


def _check_length(mask: Tensor) -> None:
    shortest = int(mask.sum(1).min())
    if shortest < _SHORTEST:
        raise InvalidInput(
            "backbone atoms",
            given=f"a chain of {shortest} residues",
            expected=f"chains of {_SHORTEST} residues or more",
        )
