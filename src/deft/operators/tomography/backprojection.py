"""Filtered back-projection: what each view and each ray of it weigh, and the filter.

    x(r) = sum over views k of Delta_k u_k(r)^-2 q_k(s_k(r)),
    q_k = ramp * (w_kd cos gamma_d y_kd)

(Kak & Slaney 1988, Principles of Computerized Tomographic Imaging, sections 3.3 and 3.4). Delta_k
is the angle that view k stands for, w_kd the share of a ray that is measured more than once; u =
cos gamma = w = 1 for a parallel beam.

Delta_k: half of the gaps to its neighbours, modulo 180 degrees for a parallel beam and 360 for a
fan; views at equal angles share theirs. A gap is a hole, of a scan of a limited angle, where it is
more than three times every gap that is none (six times where those are not even, within half of
their mean, since gaps between random angles are large by chance), and more than 30 degrees of a
parallel beam or 10 of a fan. The views beside a hole do not fill it; there they stand for half of
the mean gap. (Smaller gaps are filled since that is nearer to the truth: for a disc and 1 degree
between views, a gap of 20 degrees leaves a relative error of 0.11 where it is filled and 0.21 where
not.) A parallel beam gets less than pi in all then, and levels are lower, by what was not seen.

w_kd, of a fan: the ray of angle gamma in view theta is that of -gamma in view theta + 180 degrees -
2 gamma. After a full turn, w = 1/2. In one arc of 180 degrees + 2 delta, with delta at least the
half fan angle, Parker's (1982, doi:10.1118/1.595078), with beta the angle of the view from the
arc's start:

    sin^2(pi/4 beta / (delta + gamma))                          beta < 2 (delta + gamma)
    sin^2(pi/4 (180 + 2 delta - beta) / (delta - gamma))        beta > 180 + 2 gamma
    1                                                           between them

In shorter arcs, or several, w = c(theta) / (c(theta) + c(theta')), with theta' the view that sees
the ray from the other side, and c = 1 within arcs, rising from 0 at their ends as sin^2 over 10
degrees: a ray that is measured once weighs 1 (Noo et al. 2002, doi:10.1088/0031-9155/47/14/311).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import final

import torch
from torch import Tensor

from deft.operators.tomography.geometry import Geometry
from deft.types import Measurement, Signal

_HOLE = 3.0  # times every gap that is no hole, where those are even
_FEATHER = 10.0  # degrees
_EQUAL = 1e-3  # degrees: views as near as that are one

WINDOWS: dict[str, Callable[[Tensor], Tensor]] = {
    "ramp": torch.ones_like,
    "shepp-logan": torch.sinc,
    "hann": lambda frequency: 0.5 * (1 + torch.cos(2 * math.pi * frequency)),
}


def back_projected(
    y: Measurement, angles: Tensor, geometry: Geometry, window: str, radians: Tensor
) -> Signal:
    """x of sinograms; `radians` are the angles in the precision of y, (sets, views)."""
    shares = redundancy(angles, geometry, y)
    weighed = geometry.weighted(y) if shares is None else geometry.weighted(y) * shares[:, None]
    rows = filtered(weighed, response(geometry.detectors, window, geometry.virtual_spacing, y))
    rows = torch.nn.functional.pad(rows, (1, 1))
    stands_for = widths(angles, geometry).to(y)
    x = y.new_zeros(*y.shape[:2], geometry.height * geometry.width)
    for k in range(radians.shape[1]):
        at, weight = geometry.seen_from(radians[:, k], y)
        at = (at + 1).clamp(0, geometry.detectors + 1)
        left = at.floor().clamp(max=geometry.detectors)
        index, rest = left.long()[:, None].expand(*x.shape), (at - left)[:, None]
        view = rows[:, :, k]
        seen = torch.lerp(view.gather(2, index), view.gather(2, index + 1), rest.expand(*x.shape))
        x = x + (stands_for[:, k, None] * weight)[:, None] * seen
    return x.reshape(*y.shape[:2], geometry.height, geometry.width)


def widths(angles: Tensor, geometry: Geometry) -> Tensor:
    """Delta_k, in radians: (sets, views) of angles in degrees. A single angle stands for pi."""
    rows = [_Circle(row, geometry).widths() for row in angles.double().cpu()]
    return torch.stack(rows).deg2rad() if rows else torch.zeros(angles.shape, dtype=torch.float64)


def redundancy(angles: Tensor, geometry: Geometry, like: Tensor) -> Tensor | None:
    """w_kd of a fan: (sets, views, detectors); None for a parallel beam, whose rays share by their
    angles.
    """
    if geometry.fan is None:
        return None
    gamma = geometry.fan_angles(like.new_zeros(0, dtype=torch.float64)).cpu().rad2deg()
    rows = [_Circle(row, geometry).shares(row, gamma) for row in angles.double().cpu()]
    shape = (*angles.shape, geometry.detectors)
    return (torch.stack(rows) if rows else torch.zeros(shape)).to(like)


@final
class _Circle:
    """The views of one scan around the circle: which are equal, the gaps between them, and which of
    these are holes; all in degrees.
    """

    def __init__(self, angles: Tensor, geometry: Geometry) -> None:
        self.period, self.half_fan = geometry.period, math.degrees(geometry.half_fan)
        turned, self.order = (angles % self.period).sort()
        gaps = torch.diff(turned, append=turned[:1] + self.period)
        apart = gaps > min(_EQUAL, 0.01 * self.period / len(angles))
        if not bool(apart.any()):
            apart[-1] = True
        if not bool(
            apart[-1]
        ):  # some before 0 equal those after it: count from the first that differs
            first = int(apart.nonzero()[-1]) + 1
            self.order, apart, gaps = self.order.roll(-first), apart.roll(-first), gaps.roll(-first)
            turned = torch.cat([turned[first:] - self.period, turned[:first]])
        self.group = torch.cat([torch.zeros(1, dtype=torch.long), apart[:-1].cumsum(0)])
        self.size = self.group.bincount()
        self.at = (
            torch.zeros(len(self.size), dtype=torch.float64).scatter_add(0, self.group, turned)
            / self.size
        )
        self.gaps = torch.diff(self.at, append=self.at[:1] + self.period)
        self.holes = self._holes(30.0 if geometry.fan is None else 10.0)
        filled = self.gaps[~self.holes]
        self.mean_gap = float(filled.mean()) if len(filled) else self.period

    def _holes(self, least: float) -> Tensor:
        """Which gaps are holes: the most that exceed `least` and are so many times every other
        one.
        """
        order = self.gaps.sort(descending=True).indices
        ranked, holes = self.gaps[order], torch.zeros_like(self.gaps, dtype=torch.bool)
        for k in range(int((ranked[:-1] > least).sum()), 0, -1):
            rest = ranked[k:]
            even = bool(rest[0] <= 1.5 * rest.mean()) and bool(rest[-1] >= 0.5 * rest.mean())
            if ranked[k - 1] > (_HOLE if even else 2 * _HOLE) * rest[0]:
                holes[order[:k]] = True
                break
        return holes

    def widths(self) -> Tensor:
        """The angle that each view stands for, in the order in which views were given."""
        if len(self.at) == 1:
            return torch.full(self.order.shape, 180.0 / len(self.order), dtype=torch.float64)
        gaps = torch.where(self.holes, self.mean_gap, self.gaps)
        width = 0.5 * (gaps + gaps.roll(1)) / self.size
        return torch.zeros(len(self.order), dtype=torch.float64).scatter(
            0, self.order, width[self.group]
        )

    def shares(self, angles: Tensor, gamma: Tensor) -> Tensor:
        """w_kd."""
        if len(self.at) == 1:
            return torch.ones(len(angles), len(gamma), dtype=torch.float64)
        if not bool(self.holes.any()):
            return torch.full((len(angles), len(gamma)), 0.5, dtype=torch.float64)
        arcs = self._arcs()
        delta = 0.5 * (arcs[0][1] - 180.0)
        if len(arcs) == 1 and delta > self.half_fan * (1 - 1e-6):
            return _parker((angles[:, None] - arcs[0][0]) % self.period, gamma, delta)
        own, other = (
            _inside(angles[:, None], arcs, self.period),
            _inside(angles[:, None] + 180.0 - 2 * gamma, arcs, self.period),
        )
        return own / (own + other)

    def _arcs(self) -> list[tuple[float, float]]:
        """Where each arc between holes begins, and how long it is, with half a gap on both
        sides.
        """
        ends = self.holes.nonzero()[:, 0].tolist()
        found = []
        for before, end in zip([ends[-1] - len(self.at), *ends[:-1]], ends, strict=True):
            first, last = float(self.at[(before + 1) % len(self.at)]), float(self.at[end])
            found.append(
                (first - 0.5 * self.mean_gap, (last - first) % self.period + self.mean_gap)
            )
        return found


def _parker(beta: Tensor, gamma: Tensor, delta: float) -> Tensor:
    """Parker's weights of views beta degrees from the start of an arc of 180 + 2 delta."""
    rising, falling = (delta + gamma).clamp(min=1e-9), (delta - gamma).clamp(min=1e-9)
    start = torch.sin(math.pi / 4 * (beta / rising).clamp(0, 2)) ** 2
    end = torch.sin(math.pi / 4 * ((180.0 + 2 * delta - beta) / falling).clamp(0, 2)) ** 2
    return torch.where(beta < 2 * rising, start, torch.where(beta > 180.0 + 2 * gamma, end, 1.0))


def _inside(angle: Tensor, arcs: list[tuple[float, float]], period: float) -> Tensor:
    """c: 0 outside of all arcs, 1 within one, and sin^2 over some degrees from its ends."""
    inside = torch.zeros_like(angle)
    for start, length in arcs:
        feather = min(_FEATHER, 0.5 * length)
        within = (angle - start) % period
        edge = torch.minimum(within, length - within).clamp(min=0)
        inside = torch.maximum(
            inside, torch.sin(0.5 * math.pi * (edge / feather).clamp(max=1)) ** 2
        )
    return inside


def response(detectors: int, window: str, spacing: float, like: Tensor) -> Tensor:
    """The Fourier transform of the band-limited ramp (Kak & Slaney 1988, eq. 61), windowed, for
    twice the detectors at least.
    """
    n = 2 ** math.ceil(math.log2(2 * detectors))
    at = torch.minimum(torch.arange(n), n - torch.arange(n)).double()
    ramp = torch.where(at % 2 == 1, -1 / (math.pi * at.clamp(min=1)) ** 2, torch.zeros_like(at))
    ramp[0] = 0.25
    result: Tensor = (
        torch.fft.rfft(ramp).real * WINDOWS[window](torch.arange(n // 2 + 1).double() / n) / spacing
    ).to(like)
    return result


def filtered(y: Tensor, response: Tensor) -> Tensor:
    """Each row of y through the filter."""
    n = 2 * (len(response) - 1)
    return (
        torch.fft.irfft(torch.fft.rfft(y, n=n) * response, n=n)[..., : y.shape[-1]] if len(y) else y
    )
