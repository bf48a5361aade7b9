"""Numbers of a training run that cannot be meant."""

from __future__ import annotations

from pathlib import Path

from deft.errors import InvalidInput

MOST_OF_PRIOR = 10.0


def check_shares(
    validation_share: float, fraction: float | None, bank: int | Path, slopes: int
) -> None:
    """Raise for numbers that cannot be meant, before anything is read."""
    if not 0 <= validation_share <= 0.5:
        expected = "a share of the images in [0, 0.5], so that more of them train than are held out"
        raise InvalidInput(
            "validation_share", given=validation_share, expected=expected, advice="use 0 for none"
        )
    if fraction is not None and not 0 < fraction <= MOST_OF_PRIOR:
        expected = f"a share of the prior's parameters above 0 and at most {MOST_OF_PRIOR:g}"
        raise InvalidInput(
            "fraction", given=fraction, expected=expected, advice="0.05 is the usual one"
        )
    for name, value in (("bank", bank), ("slopes", slopes)):
        if isinstance(value, int) and value < 0:
            raise InvalidInput(name, given=value, expected="a count >= 0", advice="use 0 for none")


def check_patience(patience: int | None, held_out: object) -> None:
    """Raise for patience with a run that has nothing to validate with."""
    if patience is not None and held_out is None:
        raise InvalidInput(
            "patience",
            given=patience,
            expected="nothing, without images to validate with: it counts validations",
            advice="give --validation_images or --validation_share",
        )
