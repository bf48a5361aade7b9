"""What the statistics of an answer are where everything is as told, and how far another is from it.

    p = (1 + #{i: s_i >= s}) / (n + 1)

Of the n reference images and the new one, s_i is how strange the statistics of one are beside the
other n (deft.metrics.alarm.scale): the largest z over single statistics and over their groups. If
the new image is drawn like the others, all n + 1 are exchangeable, and P(p <= a) <= a exactly,
whatever the h-transform, the sampler and the prior get wrong (Vovk et al. 2005, chapter 2). It
holds on average over such images and references, not for one of them.

Noise levels of a range enter as a regression on log sigma_y and its square.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from deft.errors import InvalidInput
from deft.metrics.alarm import prior_error, residual
from deft.metrics.alarm.scale import strangeness, studentised
from deft.metrics.alarm.verdict import DATA, NOISE, RESIDUAL, Judged, Verdict, judged
from deft.storage.compound_fields import Items, Object, OneOf, Plain
from deft.storage.fields import Nothing, Real, Whole

FEWEST = 19
"""With fewer images no p-value is as small as 5 %."""

FALSE_ALARMS = 0.05

_MOST_IMAGES, _MOST_STATISTICS = 10_000, 64
_ROW = Items(Real(), 1, _MOST_STATISTICS)
_CURVE = Object(
    {"factor": Items(Real(1e-6, 1e6), 2, 100), "shared": Items(Items(Real(), 2, 100), 1, 32)},
    ("factor", "shared"),
)
REFERENCE = Object(
    {
        "images": Whole(1, _MOST_IMAGES),
        "samples": Items(Whole(1, 1 << 20), 1, 32),
        "levels": Items(Real(-100, 100), 0, 32),
        "sampler": Plain(),
        "seed": Whole(),
        "sigma_y": OneOf((Items(Real(0), 1, _MOST_IMAGES), Nothing())),
        "values": Items(Items(_ROW, 1, _MOST_IMAGES), 1, 32),
        "noise": OneOf((_CURVE, Nothing())),
    },
    ("images", "samples", "levels", "sampler", "values"),
)
"""The field `alarm` of the card of an h-transform."""


@final
@dataclass(frozen=True)
class Reference:
    """The statistics of held-out images: `values` (sample counts, images, statistics) for each
    number of samples in `samples`, with the noise level of each image where they differ.

    `sampler` says in plain values how they were drawn; `noise` the mean of `shared` where the noise
    is another one than told (deft.metrics.alarm.noise_level). Raises `InvalidInput` for tables of
    another shape.
    """

    values: Tensor
    samples: tuple[int, ...]
    sampler: Mapping[str, Any]
    sigma_y: Tensor | None = None
    levels: tuple[float, ...] = prior_error.LEVELS
    seed: int = 0
    noise: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        expected = (len(self.samples), len(self.names))
        if self.values.ndim != 3 or (self.values.shape[0], self.values.shape[2]) != expected:
            raise InvalidInput(
                "the reference of an alarm",
                given=f"values of shape {tuple(self.values.shape)}",
                expected=f"({expected[0]}, images, {expected[1]})",
            )
        if not bool(self.values.isfinite().all()):
            raise InvalidInput(
                "the reference of an alarm", given="values that are not finite", expected="numbers"
            )
        if self.sigma_y is not None and len(self.sigma_y) != self.images:
            raise InvalidInput(
                "the reference of an alarm",
                given=f"{len(self.sigma_y)} noise levels",
                expected=f"one for each of {self.images} images",
            )

    @property
    def images(self) -> int:
        """How many images it was measured on."""
        return int(self.values.shape[1])

    @property
    def names(self) -> tuple[str, ...]:
        """What the statistics are called."""
        return (*residual.NAMES, *prior_error.names(self.levels))

    @property
    def range_of_noise(self) -> tuple[float, float] | None:
        """The least and the largest sigma_y; None where all images have one level."""
        if self.sigma_y is None:
            return None
        return float(self.sigma_y.min()), float(self.sigma_y.max())

    def rows(self, count: int) -> tuple[Tensor, int]:
        """The table for at most `count` samples of an image, and for how many it is. Raises
        `InvalidInput` where it has none for so few.
        """
        fitting = [k for k in self.samples if k <= count]
        if not fitting:
            raise InvalidInput(
                "samples",
                given=count,
                expected=f"at least {min(self.samples)}, for which the reference was measured",
            )
        return self.values[self.samples.index(max(fitting))], max(fitting)

    def judge(
        self, row: Tensor, count: int, sigma_y: float = 0.0, false_alarms: float = FALSE_ALARMS
    ) -> Verdict:
        """The verdict on the statistics of one answer (`measure`), of `count` samples.

        `sigma_y` is what was told. Raises `InvalidInput` where so few images cannot keep to
        `false_alarms`, a share in (0, 1).
        """
        _possible(false_alarms, self.images)
        table, used = self.rows(count)
        finite = bool(row.isfinite().all())
        if not finite:
            row = torch.where(row.isfinite(), row, table.max(0).values + 1e3)
        rows = torch.cat([table, row[None].to(table)])
        design = self._design(sigma_y)
        groups = self.groups()
        z = strangeness(rows, design, groups)
        score = z.max(1).values
        p = float((score >= score[-1] - 1e-12).sum()) / len(rows)
        signs = studentised(rows, design)[-1]
        low, high = table.quantile(0.025, 0), table.quantile(0.975, 0)
        found = [
            Judged(name, float(row[i]), float(low[i]), float(high[i]), float(signs[i]))
            for i, name in enumerate(self.names)
        ]
        whole = z[-1, len(self.names) :]
        return judged(found, [float(v) for v in whole], p, false_alarms, used, self.images)

    def expected(self, statistic: int, count: int, sigma_y: float) -> float:
        """The mean of a statistic at a noise level, by the regression."""
        table, _ = self.rows(count)
        design = self._design(None)
        weights = torch.linalg.lstsq(design, table[:, [statistic]]).solution[:, 0]
        return float(self._design(sigma_y)[-1] @ weights)

    def scores(self, count: int) -> Tensor:
        """The p-value of every reference image beside the others."""
        table, _ = self.rows(count)
        design = self._design(None)
        score = strangeness(table, design, self.groups()).max(1).values
        return (score[None] >= score[:, None] - 1e-12).double().mean(1)

    def groups(self) -> list[list[int]]:
        """Every statistic alone, then those of the noise, of the residual, and of the prior."""
        kinds: dict[str, list[int]] = {NOISE: [], RESIDUAL: [], DATA: []}
        for i, name in enumerate(self.names):
            kinds[_kind(name)].append(i)
        return [[i] for i in range(len(self.names))] + [k for k in kinds.values() if k]

    def _design(self, sigma_y: float | None) -> Tensor:
        """Columns of the regression, one row for each image, and one for the new one."""
        extra = 0 if sigma_y is None else 1
        ones = torch.ones(self.images + extra, 1, dtype=torch.float64)
        if self.sigma_y is None:
            return ones
        own = self.sigma_y.double()
        told = own if sigma_y is None else torch.cat([own, own.new_tensor([sigma_y])])
        log = told.clamp(min=1e-6).log()
        return torch.cat([ones, log[:, None], log[:, None] ** 2], dim=1)

    def card(self) -> dict[str, object]:
        """The reference as plain values, rounded to five digits."""
        return {
            "images": self.images,
            "samples": list(self.samples),
            "levels": list(self.levels),
            "sampler": dict(self.sampler),
            "seed": self.seed,
            "sigma_y": None if self.sigma_y is None else [_short(v) for v in self.sigma_y.tolist()],
            "values": [[[_short(v) for v in row] for row in part] for part in self.values.tolist()],
            "noise": None if self.noise is None else dict(self.noise),
        }

    @classmethod
    def from_card(cls, card: Mapping[str, Any]) -> Reference:
        """The reference of a card. Raises `InvalidInput` for anything that is none."""
        REFERENCE.check("alarm", card)
        widths = {len(row) for part in card["values"] for row in part}
        heights = {len(part) for part in card["values"]}
        if len(widths) != 1 or heights != {card["images"]}:
            raise InvalidInput(
                "alarm.values",
                given=f"rows of {sorted(widths)} values, {sorted(heights)} of them",
                expected=f"{card['images']} rows of one length for each number of samples",
            )
        level = card.get("sigma_y")
        return cls(
            torch.tensor(card["values"], dtype=torch.float64),
            tuple(card["samples"]),
            card["sampler"],
            None if level is None else torch.tensor(level, dtype=torch.float64),
            tuple(map(float, card["levels"])),
            int(card.get("seed", 0)),
            card.get("noise"),
        )


def _kind(name: str) -> str:
    if name in ("misfit", "shared"):
        return NOISE
    return RESIDUAL if name in residual.NAMES else DATA


def _possible(false_alarms: float, images: int) -> None:
    if not 0 < false_alarms < 1:
        raise InvalidInput(
            "false_alarms", given=false_alarms, expected="a share of all answers, in (0, 1)"
        )
    least = math.ceil(1 / false_alarms - 1e-9) - 1
    if images < least:
        raise InvalidInput(
            "the reference of the alarm",
            given=f"{images} images",
            expected=f"at least {least}, for {100 * false_alarms:g} % false alarms",
            advice="measure it on more images",
        )


def _short(value: float) -> float:
    return float(f"{value:.5g}")


def counts_up_to(num_samples: int) -> tuple[int, ...]:
    """1, 2, 4, ... and the number itself: for how many samples of an image a table is kept."""
    counts: Sequence[int] = [1 << k for k in range(num_samples.bit_length())]
    return tuple(sorted({*counts, num_samples}))
