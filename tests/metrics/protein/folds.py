"""Chains built from internal coordinates, and random rigid motions."""

import math

import torch

HELIX = (91.0, 50.0)  # bend and torsion in degrees
STRAND = (124.0, -170.0)


def chain(angles, bond=3.8):
    """The trace whose steps have these (bend, torsion) in degrees: (len(angles) + 3, 3)."""
    places = [torch.zeros(3).double(), torch.tensor([bond, 0.0, 0.0]).double()]
    for bend, torsion in [(angles[0][0], 0.0), *angles]:
        bend, torsion = math.radians(bend), math.radians(torsion)
        back = places[-2] - places[-1]
        back = back / back.norm()
        side = places[-3] - places[-2] if len(places) > 2 else torch.tensor([0.0, 1.0, 0.0])
        side = side.double() - (side.double() @ back) * back
        side = side / side.norm()
        # seen along the bond, the torsion turns `side` towards `across`
        across = torch.linalg.cross(side, back)
        step = math.cos(bend) * back + math.sin(bend) * (
            math.cos(torsion) * side + math.sin(torsion) * across
        )
        places.append(places[-1] + bond * step)
    return torch.stack(places)


def helix(residues):
    return chain([HELIX] * (residues - 3))


def strand(residues):
    return chain([STRAND] * (residues - 3))


def bundle(residues=15):
    """Three helices with loops of five residues: a small fold of 3 * residues + 10."""
    loop = [(100.0, -120.0), (110.0, -90.0), (100.0, 160.0), (95.0, 60.0), (115.0, -150.0)]
    return chain(([HELIX] * residues + loop) * 2 + [HELIX] * (residues - 3))


def rotation(seed):
    q, r = torch.linalg.qr(
        torch.randn(3, 3, generator=torch.Generator().manual_seed(seed)).double()
    )
    q = q * r.diagonal().sign()
    return q * torch.linalg.det(q).sign()


def moved(x, seed=0):
    """A chain after a rigid motion."""
    return x @ rotation(seed).T + torch.tensor([5.0, -7.0, 30.0])


def noise(shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).double()
