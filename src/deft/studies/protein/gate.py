"""When a prior of backbones is called one, and when a design with a motif is a success.

The gate of a prior, on unconditional samples of it:

    bonds within 0.2 of 3.8 angstrom     >= 95 %
    residues that clash                  <= 2 %
    radius of gyration                   median within 5 % of natives of the same length
    helix and strand                     >= 0.4 of the residues
    right- over left-handed helices      > 20
    largest TM-score to training chains  mean < 0.6: not memorised
    entropy, cross likelihood            nearer to natives' than to those of natives with noise of
                                         1 angstrom

A condition that was not measured is not met.

Success of a design with a motif is joint: the motif is held (RMSD < 1 angstrom in each group) *and*
the design is no worse than those of a reference, the prior's own unconditional designs: bonds,
clashes and cross likelihood within the worst twentieth of theirs, and each junction bond within the
worst hundredth of all their bonds. The motif alone separates nothing: replacing it brings its RMSD
to 0 and breaks the chain at its ends.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

from torch import Tensor

from deft.errors import InvalidInput
from deft.metrics.protein.superposition import HELD
from deft.studies.protein.measured import Measured, Row

BONDS, CLASHES, RADIUS, STRUCTURE, HANDED, MEMORISED = 0.95, 0.02, 0.05, 0.4, 20.0, 0.6
WORST, WORST_BONDS = 0.05, 0.01


@final
@dataclass(frozen=True)
class Condition:
    """One line of the gate: what was measured, its standard error, what is asked, and whether it is
    met; the value is not a number where it was not measured.
    """

    name: str
    value: float
    standard_error: float
    asked: str
    met: bool

    def card(self) -> dict[str, object]:
        """As JSON: None where a number is not finite."""
        value, error = (
            float(number) if math.isfinite(number) else None
            for number in (self.value, self.standard_error)
        )
        return {
            "name": self.name,
            "value": value,
            "standard_error": error,
            "asked": self.asked,
            "met": self.met,
        }

    def __str__(self) -> str:
        if math.isnan(self.value):
            return f"{self.name}: not measured; asked {self.asked}"
        error = "" if math.isnan(self.standard_error) else f" ± {self.standard_error:.2g}"
        met = "met" if self.met else "not met"
        return f"{self.name}: {self.value:.3g}{error}; asked {self.asked}: {met}"


def gate(row: Row, natives: Row | None = None, noisy: Row | None = None) -> tuple[Condition, ...]:
    """The conditions for a prior whose unconditional designs gave `row`; `natives` and `noisy` are
    the rows of natives and of natives with 1 angstrom of noise, judged by the same judge.

    Raises `InvalidInput` where the rows are of different judges.
    """
    judges = {other.judge for other in (row, natives, noisy) if other is not None}
    if len(judges) > 1:
        raise InvalidInput(
            "judge",
            given=" and ".join(sorted(str(judge) for judge in judges)),
            expected="one judge for all rows, since their numbers differ",
        )
    value, error = _number(row, "helix")
    strand, strand_error = _number(row, "strand")
    structure, structure_error = value + strand, math.hypot(error, strand_error)
    conditions = [
        _limit(row, "bonds", "bonds within 0.2 Å of 3.8", BONDS, least=True),
        _limit(row, "clashes", "residues that clash", CLASHES, least=False),
        _condition(
            "radius of gyration over natives' of the same length",
            *_number(row, "radius_ratio"),
            f"within {RADIUS:.0%} of 1",
            lambda ratio: abs(ratio - 1) <= RADIUS,
        ),
        _condition(
            "helix and strand",
            structure,
            structure_error,
            f"at least {STRUCTURE}",
            lambda share: share >= STRUCTURE,
        ),
        _condition(
            "right- over left-handed helices",
            *_number(row, "handedness"),
            f"more than {HANDED:g}",
            lambda ratio: ratio > HANDED,
        ),
        _condition(
            "largest TM-score to training chains",
            *_number(row, "nearest"),
            f"a mean below {MEMORISED}",
            lambda score: score < MEMORISED,
        ),
    ]
    for key, name in (("entropy", "entropy"), ("cross_likelihood", "cross likelihood")):
        low, _ = _number(natives, key)
        high, _ = _number(noisy, key)
        found, found_error = _number(row, key)
        asked = (
            f"nearer to natives' {low:.2f} than to {high:.2f}, natives' with noise"
            if math.isfinite(low + high)
            else "nearer to natives' than to noisy natives', which were not judged"
        )
        met = math.isfinite(low + high) and abs(found - low) < abs(found - high)
        conditions.append(Condition(name, found, found_error, asked, met))
    return tuple(conditions)


def passes(conditions: Sequence[Condition]) -> bool:
    """Whether every condition is met."""
    return all(condition.met for condition in conditions)


@final
@dataclass(frozen=True)
class Thresholds:
    """What a design may not fall behind: the least share of bonds, the largest share of clashes and
    deviation of a junction bond, and the largest cross likelihood, None where none was judged.
    """

    bonds: float
    clashes: float
    junction: float
    cross_likelihood: float | None

    @classmethod
    def of(cls, reference: Measured) -> Thresholds:
        """Those of a reference set: the prior's own unconditional designs, or natives."""
        values = reference.values
        cross = values.get("cross_likelihood")
        return cls(
            float(values["bonds"].quantile(WORST)),
            float(values["clashes"].quantile(1 - WORST)),
            _quantile(reference.bonds_off, 1 - WORST_BONDS),
            None if cross is None else float(cross.quantile(1 - WORST)),
        )


def joint_success(designs: Measured, thresholds: Thresholds) -> Tensor:
    """Which designs hold their motif and fall behind no threshold: (designs,) of truth values.

    A design without junctions (the motif ends the chain on both sides) cannot break one, and a
    motif of single residues has no RMSD, which then says nothing. Raises
    `InvalidInput` for designs without a motif, or that were not judged where the reference was.
    """
    values = designs.values
    if "motif_rmsd" not in values:
        raise InvalidInput(
            "designs", given="no motif", expected="designs that were measured with their motif"
        )
    good = ~(values["motif_rmsd"] >= HELD)
    good &= values["bonds"] >= thresholds.bonds
    good &= values["clashes"] <= thresholds.clashes
    good &= ~(designs.junctions_off > thresholds.junction)
    if thresholds.cross_likelihood is not None:
        if "cross_likelihood" not in values:
            raise InvalidInput(
                "designs",
                given="no cross likelihood",
                expected="the judge's, as in the reference",
                advice="pass `judge` to evaluate_backbones",
            )
        good &= values["cross_likelihood"] <= thresholds.cross_likelihood
    return good


def _limit(row: Row, key: str, name: str, limit: float, least: bool) -> Condition:
    asked = f"{'at least' if least else 'at most'} {limit:g}"
    return _condition(
        name,
        *_number(row, key),
        asked,
        lambda value: value >= limit if least else value <= limit,
    )


def _condition(
    name: str, value: float, error: float, asked: str, met: Callable[[float], bool]
) -> Condition:
    return Condition(name, value, error, asked, bool(not math.isnan(value) and met(value)))


def _number(row: Row | None, key: str) -> tuple[float, float]:
    """A measure and its standard error; not a number where it is not there."""
    if row is None or key not in row.values:
        return math.nan, math.nan
    return row.values[key].value, row.values[key].standard_error


def _quantile(values: Tensor, share: float) -> float:
    """Of any number of values, for which `Tensor.quantile` has a limit."""
    ordered = values.sort().values
    return float(ordered[min(int(share * len(ordered)), len(ordered) - 1)])
