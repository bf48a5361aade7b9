"""Intervals of pixels whose factors were calibrated, as the card of an h-transform holds them.

Each pixel is of one class, chosen by what is known without the truth: its deviation over the
samples, and how far the operator observes it.

    certain       deviation <= threshold
    unseen        uncertain, coverage <= 1/4
    partly seen   uncertain, coverage between
    seen          uncertain, coverage >= 3/4

Beside them `uncertain`, the last three as one, and `functionals`, the inner products with 50 random
unit vectors, have factors that are no part of a picture's intervals. There is a factor for every
number of samples from 2 to that of the calibration, whose first samples are as good as any: more
samples than that are cut to it.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from deft.errors import InvalidInput
from deft.metrics.calibration import linear_functionals
from deft.metrics.conformal import Bands, by_deviation, factor, fewest, number_of_units, usual
from deft.storage.compound_fields import Items, Object, OneOf, Plain
from deft.storage.fields import Choice, Nothing, Real, Text, Whole
from deft.storage.fingerprint import fingerprint
from deft.types import Signal

PIXELS = ("certain", "unseen", "partly seen", "seen")
"""The classes that every pixel is of one of."""
FUNCTIONALS = 50
MOST = 256
"""Functionals of a user's own."""
CLASSES = (*PIXELS, "uncertain", "functionals")
_SEEN = 0.25

_OWN = Object(
    {"sha256": Text(200), "factors": Items(Items(Real(), 1, MOST), least=1, most=1023)},
    ("sha256", "factors"),
)
CARD = Object(
    {
        "level": Real(0, 1),
        "images": Whole(1),
        "units": Whole(1),
        "unit": Choice(("image", "folder", "patient")),
        "data": Text(200),
        "sampler": Plain(),
        "problem": Plain(),
        "floor": Real(1e-12),
        "threshold": Real(0),
        "counts": Items(Whole(0), len(CLASSES), len(CLASSES)),
        "factors": Items(
            Items(OneOf((Real(), Nothing())), len(CLASSES), len(CLASSES)), least=1, most=1023
        ),
        "functionals": OneOf((_OWN, Nothing())),
    },
    ("level", "images", "units", "unit", "sampler", "problem", "floor", "threshold", "factors"),
)
"""The field `conformal` of a card."""


@final
@dataclass(frozen=True)
class Origin:
    """What factors hold for, before there are any: the level, the images and what they are units
    of, a hash of them, the sampler and the problem as JSON, and what classes depend on.
    """

    level: float
    images: int
    units: int
    unit: str
    data: str
    sampler: object
    problem: object
    floor: float
    threshold: float


@final
@dataclass(frozen=True)
class Intervals:
    """Factors by number of samples (from 2 on) and by class, None where too few units have any of
    a class; `counts` are the units that have some, at the most samples. `own` has the factors of
    functionals of the user's, by number of samples, and `functionals` the hash of their weights.
    """

    about: Origin
    factors: tuple[tuple[float | None, ...], ...]
    counts: tuple[int, ...]
    functionals: str = ""
    own: tuple[tuple[float, ...], ...] = ()

    @classmethod
    def of(cls, card: Mapping[str, Any] | None) -> Intervals | None:
        """Those on the card of an h-transform, where there are any."""
        said = None if card is None else card.get("conformal")
        if not isinstance(said, Mapping):
            return None
        rest = {name: said.get(name, "") for name in Origin.__dataclass_fields__}
        factors = tuple(map(tuple, said["factors"]))
        mine = said.get("functionals") or {"sha256": "", "factors": ()}
        own = tuple(map(tuple, mine["factors"]))
        return cls(Origin(**rest), factors, tuple(said.get("counts", ())), mine["sha256"], own)

    def card(self) -> dict[str, Any]:
        """As JSON knows it."""
        rows = [list(row) for row in self.factors]
        card = {**asdict(self.about), "counts": list(self.counts), "factors": rows}
        if self.own:
            own = [list(row) for row in self.own]
            card["functionals"] = {"sha256": self.functionals, "factors": own}
        return card

    @property
    def samples(self) -> int:
        """The most samples that there are factors for."""
        return len(self.factors) + 1

    def factor(self, name: str, samples: int) -> float | None:
        """That of a class, for a number of samples."""
        return self.factors[min(samples, self.samples) - 2][CLASSES.index(name)]

    def pixels(
        self,
        samples: Float[Tensor, "images samples *event"],
        coverage: Tensor,
        within: tuple[float, float] | None = None,
        *,
        calibrated: bool = True,
    ) -> tuple[Signal, Signal]:
        """The ends of the interval of every pixel, NaN where its class has no factor; cut to the
        range `within`. Without `calibrated` those that a right posterior would need.
        """
        x = samples[:, : self.samples]
        bands, count = by_deviation(x, self.about.floor), x.shape[1]
        q = torch.full_like(bands.unit, usual(self.about.level, count))
        if calibrated:
            for name, where in classes(x, coverage, self.about.threshold).items():
                known = self.factor(name, count)
                if name in PIXELS:
                    q[where] = torch.nan if known is None else known
        return bands.interval(q, within)

    def knows(self, weights: Float[Tensor, " functionals *event"]) -> bool:
        """Whether these are the functionals that have factors of their own."""
        same = bool(self.own) and self.functionals == fingerprint(weights)
        return same and all(len(row) == len(weights) for row in self.own)

    def of_functionals(
        self,
        samples: Float[Tensor, "images samples *event"],
        weights: Float[Tensor, " functionals *event"],
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The mean of w^T x over the samples and the ends of its interval, of each functional that
        has a factor of its own: (images, functionals).
        """
        if not self.knows(weights):
            raise InvalidInput(
                "weights", given="other functionals", expected="those that were calibrated"
            )
        x = samples[:, : self.samples]
        q = torch.tensor(self.own[min(x.shape[1], self.samples) - 2]).to(x)
        bands = _of(x, weights, self.about.floor)
        return bands.low, *bands.interval(q)

    def table(self) -> str:
        """The factors for the most samples, over those of a Gaussian posterior, as text."""
        about, needed = self.about, usual(self.about.level, self.samples)
        of = "" if about.unit == "image" else f" of {about.units} {about.unit}s"
        lines = [
            f"{100 * about.level:g} % intervals, calibrated on {about.images} images{of}, for 2 to "
            f"{self.samples} samples; they hold on average over such images, not for this one",
            f"{'class':14} {about.unit + 's':>9}     factor   over a Gaussian's ({needed:.3g})",
        ]
        for name, count, q in zip(CLASSES, self.counts or (0,) * len(CLASSES), self.factors[-1]):
            shown = "     none" if q is None else f"{q:9.3g}   {q / needed:.3g}"
            lines.append(f"{name:14} {count:9}  {shown}")
        for k, q in enumerate(self.own[-1] if self.own else ()):
            lines.append(f"{f'functional {k}':14} {about.units:9}  {q:9.3g}   {q / needed:.3g}")
        return "\n".join(lines)


def classes(
    samples: Float[Tensor, "images samples *event"], coverage: Tensor, threshold: float
) -> dict[str, Bool[Tensor, " images *event"]]:
    """Which pixels are of each class; all but `uncertain` share none. `coverage` is the
    operator's, one channel in [0, 1].
    """
    certain = samples.std(1) <= threshold
    seen = coverage.to(samples).expand_as(certain)
    low, high = seen <= _SEEN, seen >= 1 - _SEEN
    return {
        "certain": certain,
        "unseen": ~certain & low,
        "partly seen": ~certain & ~low & ~high,
        "seen": ~certain & high,
        "uncertain": ~certain,
    }


def scored(
    samples: Float[Tensor, "images samples *event"],
    truth: Signal,
    coverage: Tensor,
    floor: float,
    threshold: float,
) -> dict[str, tuple[Bands, Tensor, Tensor]]:
    """Of each class the bands, the truth, and which of their entries are of it."""
    bands = by_deviation(samples, floor)
    found = {
        name: (bands, truth, where) for name, where in classes(samples, coverage, threshold).items()
    }
    x, w = linear_functionals(samples, truth, FUNCTIONALS)
    return {**found, "functionals": (by_deviation(x, floor), w, torch.ones_like(w).bool())}


def calibrate(
    samples: Float[Tensor, "images samples *event"],
    truth: Signal,
    coverage: Tensor,
    about: Origin,
    *,
    units: Sequence[Hashable] | None = None,
    weights: Float[Tensor, " functionals *event"] | None = None,
) -> Intervals:
    """Factors of every class and of every functional w^T x, for every number of samples from 2 on.
    Raises `InvalidInput` where there are too few units for the level.
    """
    rows, counts, own = [], (0,) * len(CLASSES), []
    for count in range(2, samples.shape[1] + 1):
        found = scored(samples[:, :count], truth, coverage, about.floor, about.threshold)
        counts = tuple(number_of_units(found[name][2], units) for name in CLASSES)
        rows.append(tuple(_factor(*found[name], about.level, units) for name in CLASSES))
        if weights is not None:
            w_truth = truth.flatten(1) @ weights.flatten(1).T.to(truth)
            scores = _of(samples[:, :count], weights, about.floor).scores(w_truth)
            each = (factor(one[:, None], about.level, units=units) for one in scores.T)
            own.append(tuple(each))
    known = "" if weights is None else fingerprint(weights)
    return Intervals(about, tuple(rows), counts, known, tuple(own))


def _of(samples: Tensor, weights: Tensor, floor: float) -> Bands:
    """The bands of each w^T x, with the floor in its own unit: floor ||w||."""
    w = weights.flatten(1).to(samples)
    size = w.norm(dim=1)
    bands = by_deviation(samples.flatten(2) @ (w / size[:, None]).T, floor)
    return Bands(bands.low * size, bands.high * size, bands.unit * size)


def _factor(
    bands: Bands, truth: Tensor, where: Tensor, level: float, units: Sequence[Hashable] | None
) -> float | None:
    if number_of_units(where, units) < fewest(level):
        return None
    return factor(bands.scores(truth), level, where=where, units=units)
