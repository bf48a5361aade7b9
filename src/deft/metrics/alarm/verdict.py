"""What an alarm says: whether an answer is like those of the reference, and what is not, in words.

Three groups of statistics tell of three kinds of mismatch. A group is named where it is as strange
as three standard deviations, or is the strangest of a doubtful answer; a mismatch may show in
several, so that what is named is where to look first, not a proof.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

NOISE, RESIDUAL, DATA = "noise", "residual", "data"
FITS, DOUBTFUL = "fits", "doubtful"
_STRANGE = 3.0


@final
@dataclass(frozen=True)
class Judged:
    """One statistic of an answer beside the central 95 % of the reference; `t` is its studentised
    distance, with its sign.
    """

    name: str
    value: float
    low: float
    high: float
    t: float

    def words(self) -> str:
        """`misfit 1.9, usually 0.93 to 1.05`."""
        value, low, high = (_shown(self.name, v) for v in (self.value, self.low, self.high))
        return f"{self.name} {value:.3g}, usually {low:.3g} to {high:.3g}"


@final
@dataclass(frozen=True)
class Verdict:
    """`fits` or `doubtful`; `p` is the share of reference answers as strange as this one, at which
    an alarm at `false_alarms` is raised where it is no larger; `reasons` what is not as usual, most
    telling first.

    `samples` of the answer were judged, beside `images` reference images.
    """

    level: str
    p: float
    reasons: tuple[str, ...]
    statistics: tuple[Judged, ...]
    false_alarms: float
    samples: int
    images: int

    @property
    def alarm(self) -> bool:
        """Whether it is doubtful."""
        return self.level == DOUBTFUL

    def line(self) -> str:
        """The verdict in one line."""
        if not self.alarm:
            return f"fits (p = {self.p:.2g})"
        return f"doubtful (p = {self.p:.2g}): {'; '.join(self.reasons)}"

    def card(self) -> dict[str, object]:
        """The verdict as plain values."""
        return {
            "level": self.level,
            "p": self.p,
            "reasons": list(self.reasons),
            "false_alarms": self.false_alarms,
            "samples": self.samples,
            "images": self.images,
            "statistics": {
                one.name: [float(f"{v:.4g}") for v in (one.value, one.low, one.high, one.t)]
                for one in self.statistics
            },
        }


def judged(
    found: Sequence[Judged],
    groups: Sequence[float],
    p: float,
    false_alarms: float,
    samples: int,
    images: int,
) -> Verdict:
    """The verdict of statistics and of the z of their groups: noise, residual, data."""
    level = DOUBTFUL if p <= false_alarms + 1e-12 else FITS
    reasons: tuple[str, ...] = ()
    if level == DOUBTFUL:
        members = _members(found)
        kinds = [kind for kind in (NOISE, RESIDUAL, DATA) if members[kind]]
        z = {
            kind: max(of_group, *(_single(one.t) for one in members[kind]))
            for kind, of_group in zip(kinds, groups, strict=True)
        }
        order = sorted(kinds, key=lambda kind: -z[kind])
        named = [kind for kind in order if z[kind] >= _STRANGE] or order[:1]
        reasons = tuple(_reason(kind, members[kind]) for kind in named)
    return Verdict(level, p, reasons, tuple(found), false_alarms, samples, images)


def _single(t: float) -> float:
    """The z of one statistic (deft.metrics.alarm.scale)."""
    return float((abs(t) ** (2 / 3) - 1 + 2 / 9) / math.sqrt(2 / 9))


def _members(found: Sequence[Judged]) -> dict[str, list[Judged]]:
    members: dict[str, list[Judged]] = {NOISE: [], RESIDUAL: [], DATA: []}
    for one in found:
        if one.name in ("misfit", "shared"):
            members[NOISE].append(one)
        else:
            members[DATA if one.name.startswith("prior's error") else RESIDUAL].append(one)
    return members


def _reason(kind: str, members: Sequence[Judged]) -> str:
    """What a group says, by its strangest statistic."""
    one = max(members, key=lambda one: abs(one.t))
    higher = one.t > 0
    if kind == NOISE:
        what = (
            "the residual is too large: the noise is larger than told, or the operator or the "
            "range of values is another one"
            if higher
            else "the residual is too small: the noise is smaller than told"
        )
    elif kind == DATA:
        what = (
            "the prior knows such signals badly: the data are others than it was trained on"
            if higher
            else "the prior denoises such signals better than its own: plainer data than it was "
            "trained on"
        )
    else:
        what = _RESIDUAL[one.name.split(" ")[0]]
    return f"{what} ({one.words()})"


_RESIDUAL = {
    "tails": "a few measurements are far off: the operator (a mask, dead places) is another one "
    "in places",
    "colour": "neighbouring residuals are alike: the operator is another one, or the noise is not "
    "white",
    "offset": "the residual is not 0 on average: the measurement has an offset, or another range "
    "of values",
    "gain": "the residual grows with the signal: the operator has another scale, or the range of "
    "values is another one",
    "blur": "the residual follows the signal's edges: the operator blurs more or less than told",
    "shift": "the residual follows the signal's slopes: the measurement is shifted against the "
    "operator",
}


def _shown(name: str, value: float) -> float:
    """A statistic as it is read: the misfit itself, and errors, which are kept as logarithms."""
    if name == "misfit":
        return math.exp(0.5 * min(value, 1000.0))
    if name.startswith("prior's error") or name == "tails":
        return math.exp(min(value, 500.0))
    return value
