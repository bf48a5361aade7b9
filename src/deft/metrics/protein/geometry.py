"""Local and global geometry of a C-alpha trace, in angstrom and degrees.

    bond      b_i   = |x_{i+1} - x_i|, 3.80 across a trans peptide bond, 2.95 across a cis one
    bend      theta = angle of x_{i-1}, x_i, x_{i+1}, with |x_{i+1} - x_{i-1}| = 2 b sin(theta / 2)
    torsion   tau   = dihedral of x_{i-1}, x_i, x_{i+1}, x_{i+2}; +50 in a right-handed helix
    clash     |x_i - x_j| < 3.5 with |i - j| > 2
    radius of gyration  R^2 = mean |x_i - mean x|^2,  about 2.2 L^0.38 for compact domains

Trans bonds have a standard deviation of 0.03 to 0.06 in crystal structures, and bends lie between
77 and 175 degrees (4.7 to 7.6 between residues two apart) in 99.9 % of cases. The law of R is that
of Skolnick et al. 1997, doi:10.1006/jmbi.1996.0720.
"""

from __future__ import annotations

import torch
from torch import Tensor

from deft.errors import InvalidInput
from deft.metrics.protein.traces import Present, Trace, checked, lengths, mean_over

BOND, CIS = 3.8, 2.95
SECOND = (4.7, 7.6)
NEAREST = 3.5
_CIS_WIDTH = 0.2


def bond_lengths(x: Trace, mask: Present | None = None) -> tuple[Tensor, Tensor]:
    """|x_{i+1} - x_i| and where it exists: both (chains, length - 1)."""
    x, mask = checked(x, mask)
    return (x[:, 1:] - x[:, :-1]).norm(dim=-1), mask[:, 1:]


def bonds(x: Trace, mask: Present | None = None, tolerance: float = 0.2) -> Tensor:
    """The share of bonds within `tolerance` of 3.8 angstrom, of all bonds of each chain; cis bonds
    count as others do, and `cis_bonds` says how many there are.
    """
    length, there = bond_lengths(x, mask)
    return mean_over((length - BOND).abs() <= tolerance, there)


def cis_bonds(x: Trace, mask: Present | None = None) -> Tensor:
    """The share of bonds within 0.2 of 2.95 angstrom."""
    length, there = bond_lengths(x, mask)
    return mean_over((length - CIS).abs() <= _CIS_WIDTH, there)


def bond_spread(x: Trace, mask: Present | None = None) -> Tensor:
    """The root of the mean of (b_i - 3.8)^2 over the bonds of each chain that are not cis."""
    length, there = bond_lengths(x, mask)
    there = there & ((length - CIS).abs() > _CIS_WIDTH)
    return mean_over((length - BOND) ** 2, there).sqrt()


def second_distances(x: Trace, mask: Present | None = None) -> tuple[Tensor, Tensor]:
    """|x_{i+2} - x_i| and where it exists: both (chains, length - 2)."""
    x, mask = checked(x, mask)
    return (x[:, 2:] - x[:, :-2]).norm(dim=-1), mask[:, 2:]


def bends_in_range(x: Trace, mask: Present | None = None) -> Tensor:
    """The share of residues i with 4.7 <= |x_{i+2} - x_i| <= 7.6 in each chain."""
    distance, there = second_distances(x, mask)
    return mean_over((distance >= SECOND[0]) & (distance <= SECOND[1]), there)


def bends(x: Trace, mask: Present | None = None) -> tuple[Tensor, Tensor]:
    """The bend at residues 1 .. length - 2 in degrees, in (0, 180], and where it exists."""
    x, mask = checked(x, mask)
    a, b = x[:, :-2] - x[:, 1:-1], x[:, 2:] - x[:, 1:-1]
    angle = torch.atan2(torch.linalg.cross(a, b).norm(dim=-1), (a * b).sum(-1))
    return torch.rad2deg(angle), mask[:, 2:]


def torsions(x: Trace, mask: Present | None = None) -> tuple[Tensor, Tensor]:
    """The torsion of residues i .. i + 3 in degrees, in [-180, 180], and where it exists: both
    (chains, length - 3). Mirror images have the opposite sign.
    """
    x, mask = checked(x, mask)
    steps = x[:, 1:] - x[:, :-1]
    a, b, c = steps[:, :-2], steps[:, 1:-1], steps[:, 2:]
    left, right = torch.linalg.cross(a, b), torch.linalg.cross(b, c)
    sine = (torch.linalg.cross(left, right) * b).sum(-1) / b.norm(dim=-1).clamp(min=1e-12)
    return torch.rad2deg(torch.atan2(sine, (left * right).sum(-1))), mask[:, 3:]


def clashing(x: Trace, mask: Present | None = None, nearest: float = NEAREST) -> Tensor:
    """Which residues have another one, more than two away along the chain, nearer than `nearest`:
    (chains, length).
    """
    x, mask = checked(x, mask)
    return _near(x, mask, nearest).any(2)


def clashes(x: Trace, mask: Present | None = None, nearest: float = NEAREST) -> Tensor:
    """The share of residues of each chain that clash."""
    x, mask = checked(x, mask)
    return mean_over(clashing(x, mask, nearest), mask)


def radius_of_gyration(x: Trace, mask: Present | None = None) -> Tensor:
    """The radius of gyration of each chain in angstrom, every residue of weight one."""
    x, mask = checked(x, mask)
    centre = x.sum(1, keepdim=True) / lengths(mask)[:, None, None]
    return mean_over((x - centre).square().sum(-1), mask).sqrt()


def compact_radius(length: Tensor) -> Tensor:
    """2.2 L^0.38, the radius of gyration of a compact domain of L residues in angstrom."""
    return 2.2 * length.double() ** 0.38


def radius_ratio(
    x: Trace,
    mask: Present | None,
    native_lengths: Tensor,
    native_radii: Tensor,
    window: float = 0.1,
    least: int = 20,
) -> Tensor:
    """The radius of gyration of each chain over the median of natives of its length.

    Natives are those whose length differs by at most the share `window`, or the `least` nearest in
    length where these are fewer. Raises `InvalidInput` for fewer than `least` natives.
    """
    if native_lengths.shape != native_radii.shape or len(native_lengths) < least:
        raise InvalidInput(
            "natives",
            given=f"{len(native_lengths)} lengths and {len(native_radii)} radii of gyration",
            expected=f"as many of both, at least {least}",
        )
    x, mask = checked(x, mask)
    radius, own = radius_of_gyration(x, mask), lengths(mask).double()
    away = (native_lengths.double() - own[:, None]).abs()
    reach = torch.maximum(window * own, away.sort(1).values[:, least - 1])
    like = torch.where(away <= reach[:, None], native_radii.double(), torch.nan)
    return radius / like.nanmedian(1).values


def junctions(
    x: Trace, part: Tensor, mask: Present | None = None, tolerance: float = 0.4
) -> tuple[Tensor, Tensor]:
    """How a motif is joined to its scaffold: the share of junction bonds within `tolerance` of 3.8,
    and of bends over a junction with 77 to 175 degrees (4.7 to 7.6 angstrom between residues two
    apart).

    `part` (chains, length) of integers says what a residue belongs to: -1 the scaffold, other
    numbers the groups of the motif. A junction lies where it changes. Not a number in chains
    without a junction.
    """
    x, mask = checked(x, mask)
    if part.shape != x.shape[:2] or part.dtype == torch.bool or part.is_floating_point():
        raise InvalidInput(
            "part",
            given=f"{part.dtype} of shape {tuple(part.shape)}",
            expected=f"integers of shape {tuple(x.shape[:2])}: -1 for the scaffold, else the group",
        )
    crossed = (part[:, 1:] != part[:, :-1]) & mask[:, 1:]
    length = (x[:, 1:] - x[:, :-1]).norm(dim=-1)
    distance, there = second_distances(x, mask)
    over = (crossed[:, 1:] | crossed[:, :-1]) & there
    fits = (distance >= SECOND[0]) & (distance <= SECOND[1])
    return mean_over((length - BOND).abs() <= tolerance, crossed), mean_over(fits, over)


def motif_clashes(
    x: Trace, motif: Tensor, mask: Present | None = None, nearest: float = NEAREST
) -> Tensor:
    """The share of motif residues that clash with residues of the scaffold; `motif` (chains,
    length) says which residues are the motif's.
    """
    x, mask = checked(x, mask)
    near = _near(x, mask, nearest) & ~motif[:, None, :]
    return mean_over(near.any(2), motif & mask)


def _near(x: Tensor, mask: Tensor, nearest: float) -> Tensor:
    """Pairs that clash: (chains, length, length)."""
    place = torch.arange(x.shape[1], device=x.device)
    apart = (place[:, None] - place[None, :]).abs() > 2
    return (torch.cdist(x, x) < nearest) & apart & mask[:, None, :] & mask[:, :, None]
