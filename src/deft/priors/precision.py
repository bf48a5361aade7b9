"""In which precision a network is faster on this machine: measured, not guessed.

bf16 halves the traffic of weights and doubles the arithmetic where the hardware has it; on a CPU
without it, it is emulated, and many times slower than fp32.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, final

import torch

from deft.errors import InvalidInput
from deft.priors.base import Prior
from deft.priors.wrapped import WrappedPrior
from deft.storage.atomic import atomic
from deft.types import Signal, Times

Precision = Literal["fp32", "bf16"]
PRECISIONS = ("fp32", "bf16", "auto")
KEPT = "precision.json"


@final
@dataclass(frozen=True)
class Choice:
    """The seconds that one forward took in either precision; None for bf16 where it was not
    tried.
    """

    fp32: float
    bf16: float | None

    @property
    def precision(self) -> Precision:
        """The faster one; fp32 where they are level."""
        return "bf16" if self.bf16 is not None and self.bf16 < self.fp32 else "fp32"

    def __str__(self) -> str:
        if self.bf16 is None:
            return "fp32: bf16 does not run here"
        return (
            f"{self.precision}: a forward takes {1000 * self.fp32:.3g} ms in fp32, "
            f"{1000 * self.bf16:.3g} ms in bf16"
        )


@final
class InPrecision(WrappedPrior):
    """A prior whose network computes in `precision`: by its own switch where it has one (which
    keeps the rest of it in single precision), under torch's autocast elsewhere.
    """

    def __init__(self, prior: Prior, precision: Precision) -> None:
        super().__init__(prior)
        self.precision = precision
        inner = _innermost(prior)
        self._autocast = precision == "bf16" and not hasattr(inner, "precision")
        if not self._autocast:
            inner.precision = precision  # type: ignore[assignment]

    def around(self, prior: Prior) -> InPrecision:
        return InPrecision(prior, self.precision)

    def identity(self) -> dict[str, object]:
        """That of the prior, and the precision."""
        return {**self.prior.identity(), "precision": self.precision}

    def denoise(self, x_t: Signal, t: Times) -> Signal:
        with torch.autocast(x_t.device.type, torch.bfloat16, enabled=self._autocast):
            return self.prior.denoise(x_t, t).to(x_t.dtype)


def _innermost(prior: Prior) -> Prior:
    """The prior that has the network."""
    inner = getattr(prior, "prior", None)
    return prior if inner is None else _innermost(inner)


def faster(
    fp32: Callable[[], object],
    bf16: Callable[[], object],
    wait: Callable[[], object],
    clock: Callable[[], float],
) -> Choice:
    """Either call timed once after a warm-up; `wait` returns when what was asked for is done. A
    bf16 that raises RuntimeError or NotImplementedError does not count.
    """
    seconds = _seconds(fp32, wait, clock)
    try:
        return Choice(seconds, _seconds(bf16, wait, clock))
    except (RuntimeError, NotImplementedError):
        return Choice(seconds, None)


@torch.no_grad()
def fastest_precision(
    prior: Prior, batch: int = 2, clock: Callable[[], float] = time.perf_counter
) -> Choice:
    """Which precision one small forward of `prior` is faster in, under torch's autocast on the
    prior's device; the prior stays as it is.
    """
    device = prior.device
    x_t = torch.zeros(batch, *prior.event_shape, device=device)
    low, high = prior.schedule.log_snr_range
    t = prior.schedule.time(torch.tensor([(low + high) / 2])).to(device)

    def forward(precision: Precision) -> object:
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            return prior.denoise(x_t, t)

    network = _innermost(prior)
    before = getattr(network, "precision", None)
    if before is not None:
        network.precision = "fp32"  # type: ignore[assignment]
    try:
        return faster(
            lambda: forward("fp32"), lambda: forward("bf16"), lambda: _wait(device), clock
        )
    finally:
        if before is not None:
            network.precision = before


def chosen(prior: Prior, precision: str, say: Callable[[str], Any] = print) -> Precision:
    """`precision`, or for "auto" the faster one, saying what was measured. Raises `InvalidInput`
    for another word.
    """
    if precision not in PRECISIONS:
        raise InvalidInput("precision", given=precision, expected=f"one of {', '.join(PRECISIONS)}")
    if precision != "auto":
        return precision  # type: ignore[return-value]
    choice = fastest_precision(prior)
    say(f"precision {choice}")
    return choice.precision


def settled(prior: Prior, precision: str, out: Path) -> Precision:
    """`chosen`, once for a run folder: what was measured is kept in OUT/precision.json, so that a
    run that goes on computes as it began.

    Raises `InvalidInput` for "auto" in a run of several processes, which would each measure for
    themselves.
    """
    if precision != "auto":
        return chosen(prior, precision)
    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise InvalidInput(
            "precision",
            given="auto",
            expected="fp32 or bf16 in a run of several processes",
            advice="each would measure for itself",
        )
    kept = out / KEPT
    try:
        found = json.loads(kept.read_bytes())["precision"]
    except FileNotFoundError:
        pass
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidInput(
            f"{kept}",
            given="a file that cannot be read",
            expected="what a run keeps",
            advice="say the precision",
        ) from error
    else:
        if found not in ("fp32", "bf16"):
            raise InvalidInput(f"precision in {kept}", given=found, expected="fp32 or bf16")
        return chosen(prior, found)
    choice = fastest_precision(prior)
    print(f"precision {choice}")
    out.mkdir(parents=True, exist_ok=True)
    with atomic(kept) as stream:
        stream.write(
            (
                json.dumps(
                    {"precision": choice.precision, "fp32": choice.fp32, "bf16": choice.bf16}
                )
                + "\n"
            ).encode()
        )
    return choice.precision


def _seconds(
    call: Callable[[], object], wait: Callable[[], object], clock: Callable[[], float]
) -> float:
    call()
    wait()
    begin = clock()
    call()
    wait()
    return clock() - begin


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
