"""What a server says of the prior behind it, so that a client can use it like one of its own.

    GET /card -> {"kind", "name", "identity", "event_shape", "schedule", "scale", ...}

The client builds nothing of it but a schedule of this library. A prior that a card cannot carry
over is not served: one with a codec, with noise in a space of its own, or with a schedule of the
user's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, final, get_args

import torch

from deft.errors import InvalidInput
from deft.noise import Noise
from deft.priors.base import Prior
from deft.priors.remote.wire import HEADER
from deft.priors.zoo import schedule_card
from deft.schedules import Schedule
from deft.storage import cards
from deft.storage.compound_fields import Items, Object, OneOf, Part
from deft.storage.fields import Choice, Nothing, Real, Text, Whole
from deft.storage.fingerprint import fingerprint
from deft.storage.schema import LIMITS
from deft.types import Axes

KIND = "deft prior behind an API"
CONTEXT = 1 << 20
"""How many numbers one signal may be told."""
CARD = Object(
    {
        "kind": Choice((KIND,)),
        "name": Text(200),
        "identity": Object({}, open=True),
        "event_shape": LIMITS["event_shape"],
        "event_axes": Choice(get_args(Axes)),
        "schedule": Part(("schedule",)),
        "prediction": Text(200),
        "scale": Real(1e-12, 1e12),
        "value_range": OneOf((Items(Real(), 2, 2), Nothing())),
        "takes": Items(Text(100), 0, 16),
        "classes": OneOf((Whole(1, 1 << 30), Nothing())),
        "parameters": Whole(0, 1 << 50),
        "limits": Object(
            {"signals": Whole(1, 1 << 20), "bytes": Whole(1, 1 << 40)}, ("signals", "bytes")
        ),
    },
    (
        "kind",
        "name",
        "identity",
        "event_shape",
        "event_axes",
        "schedule",
        "prediction",
        "scale",
        "takes",
        "parameters",
        "limits",
    ),
    open=True,
)


@final
@dataclass(frozen=True)
class Limits:
    """What one request may hold: signals, and bytes of its body."""

    signals: int
    bytes: int

    @classmethod
    def of(cls, prior: Prior, signals: int, megabytes: float | None = None) -> Limits:
        """`signals` of a prior; by default the bytes that they need, with 1 MiB for each where it
        takes a context, and at most 64 MiB in all.
        """
        each = 4 * torch.Size(prior.event_shape).numel() + 8
        usual = max(min(signals * (each + (1 << 20 if prior.takes else 0)), 1 << 26), each)
        content = usual if megabytes is None else int(megabytes * 1e6)
        if content < each:
            raise InvalidInput(
                "megabytes",
                given=megabytes,
                expected=f"at least {each / 1e6:.3g}, the size of one signal",
            )
        return cls(signals, content + HEADER)


def served_card(prior: Prior, limits: Limits) -> dict[str, Any]:
    """The card of a prior. Raises `InvalidInput` for one that it cannot carry over."""
    _servable(prior)
    return {
        "kind": KIND,
        "name": prior.name,
        "identity": cards.plain(prior.identity()),
        "event_shape": list(prior.event_shape),
        "event_axes": prior.event_axes,
        "schedule": schedule_card(prior.schedule),
        "prediction": prior.prediction,
        "scale": float(prior.scale),
        "value_range": None if prior.value_range is None else list(map(float, prior.value_range)),
        "takes": list(prior.takes),
        "classes": getattr(prior, "num_classes", None),
        "parameters": prior.num_parameters,
        "limits": asdict(limits),
    }


def schedule_of(card: Mapping[str, Any]) -> Schedule:
    """The schedule of a card that `CARD` has checked."""
    schedule: Schedule = cards.build(card["schedule"], "schedule", where="schedule")
    return schedule


def mark(card: Mapping[str, Any]) -> str:
    """What every answer of a server carries, so that a client sees when another prior stands
    there.
    """
    return fingerprint({name: card.get(name) for name in ("identity", "event_shape", "schedule")})[
        :16
    ]


def _servable(prior: Prior) -> None:
    """Raise `InvalidInput` for a prior that a card cannot carry over."""
    why = advice = ""
    if "mask" in prior.takes:
        why = "one of images: chains of several lengths are not served"
        advice = f"on the machine that holds it: deft scaffold --prior {prior.name}"
    elif prior.codec is not None:
        why = "one without a codec, whose decoder the client would lack"
    elif not _usual_noise(prior):
        why = "one whose noise fills its space, which the client draws itself"
    elif int(prior.dimensions.reshape(-1)[0]) != torch.Size(prior.event_shape).numel():
        why = "one whose signals fill their space"
    if why:
        raise InvalidInput("prior", given=prior.name, expected=why, advice=advice)
    try:
        schedule_of({"schedule": schedule_card(prior.schedule)})
    except (AttributeError, InvalidInput) as error:
        raise InvalidInput(
            "prior",
            given=f"{prior.name} with a {type(prior.schedule).__name__}",
            expected="a prior with a schedule of this library: VPLinear, VPCosine, VPTabulated, "
            "VE, EDM, RectifiedFlow",
            advice="serve the prior as it is, and let the client reschedule it",
        ) from error


def _usual_noise(prior: Prior) -> bool:
    """Whether it draws as every prior does that says nothing else."""
    seeds = [1, 2]
    drawn, initial = prior.noise(Noise(seeds), 1).cpu(), prior.initial(Noise(seeds)).cpu()
    usual = Prior.noise(prior, Noise(seeds), 1), Prior.initial(prior, Noise(seeds))
    return torch.allclose(drawn, usual[0]) and torch.allclose(initial, usual[1])
