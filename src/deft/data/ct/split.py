"""Sets of slices by patient, so that no patient is in two of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real

import torch

from deft.errors import InvalidInput


def patient_names(patients: Sequence[object], count: int) -> list[str]:
    """Whose each of `count` slices is, as text. Raises InvalidInput where one has no name, or where
    there are not as many.
    """
    if isinstance(patients, (str, bytes)) or not hasattr(patients, "__len__"):
        raise InvalidInput(
            "patients",
            given=patients,
            expected="one name for each slice",
            advice=f"of one patient alone give [{patients!r}] * {count}",
        )
    if len(patients) != count:
        raise InvalidInput(
            f"patients says of each slice whose it is; got {len(patients)} for {count} slices."
        )
    names = [_name(patient) for patient in patients]
    nobody = next((i for i, name in enumerate(names) if not name), None)
    if nobody is not None:
        raise InvalidInput(
            f"patients: slice {nobody} has no name",
            given=repr(patients[nobody]),
            expected="a name or a number for each slice",
            advice="leave such slices out, or give each a name of its own",
        )
    return names


def _name(patient: object) -> str:
    """A patient's name without the space around it; empty where there is none."""
    if isinstance(patient, bytes):
        patient = patient.decode(errors="replace")
    if patient is None or (
        isinstance(patient, Real)
        and not isinstance(patient, Integral)
        and not math.isfinite(patient)
    ):
        return ""
    name = str(patient).strip()
    return "" if name.lower() in ("nan", "none") else name


def split_patients(
    patients: Sequence[str], fractions: Sequence[float], seed: int = 0
) -> list[list[int]]:
    """Which slices belong to each set, with about these fractions of all slices and of all
    patients; every patient is in exactly one.

    Patients are shuffled, and each goes to the set that lacks most of its two shares. Raises
    InvalidInput where a set would be empty.
    """
    shares = _shares(fractions)
    slices: dict[str, list[int]] = {}
    for i, patient in enumerate(
        patient_names(patients, len(patients) if hasattr(patients, "__len__") else 0)
    ):
        slices.setdefault(patient, []).append(i)
    names = sorted(slices)
    if len(names) < len(shares):
        raise InvalidInput(
            f"{len(shares)} sets need as many patients; there are {len(names)}: "
            f"{', '.join(names[:5])}."
        )
    if not isinstance(seed, Integral):
        raise InvalidInput("seed", given=seed, expected="a whole number")
    generator = torch.Generator().manual_seed(int(seed))
    shuffled = [names[i] for i in torch.randperm(len(names), generator=generator)]
    sets: list[list[int]] = [[] for _ in shares]
    whose = [0 for _ in shares]
    # the longest series first, so that shares come out even
    for k, name in enumerate(sorted(shuffled, key=lambda name: -len(slices[name]))):
        lack = [
            2 * f - len(chosen) / len(patients) - n / len(names)
            for f, chosen, n in zip(shares, sets, whose, strict=True)
        ]
        empty = [s for s, chosen in enumerate(sets) if not chosen]
        most = empty if len(names) - k == len(empty) else range(len(sets))
        best = max(most, key=lambda s: lack[s])
        sets[best] += slices[name]
        whose[best] += 1
    return [sorted(chosen) for chosen in sets]


def _shares(fractions: Sequence[float]) -> list[float]:
    try:
        shares = [float(f) for f in fractions]
    except (TypeError, ValueError):
        shares = []
    total = sum(shares)
    if not shares or not all(f > 0 for f in shares) or not abs(total - 1) < 1e-6:
        raise InvalidInput(
            "fractions",
            given=f"{fractions!r}, whose sum is {total:g}" if shares else fractions,
            expected="shares that are positive and sum to 1",
            advice="use, for example, (0.8, 0.1, 0.1)",
        )
    return shares
