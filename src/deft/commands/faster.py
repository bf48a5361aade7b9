"""What makes the evaluations of a command cheaper: options of `deft sample` and `deft evaluate`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, final

from deft import checks
from deft.errors import InvalidInput
from deft.htransforms.skipped import Skipped
from deft.networks.faster import channels_last, compiled
from deft.priors.base import Prior
from deft.priors.precision import InPrecision, settled
from deft.priors.reused import Reused
from deft.studies.method import Method

Precision = Literal["fp32", "bf16", "auto"]
HELP = {
    "precision": "what the prior computes in: fp32, bf16, or auto for the faster one, which is "
    "measured",
    "channels_last": "lay out prior and h with the channels of a place side by side",
    "compile": "torch.compile for prior and h; where that fails, one line says why, and they run "
    "as they are",
    "reuse": "so many steps share the deep features of the prior (a UNetPrior), an approximation: "
    "look at coverage; default: 1, none are shared",
    "skip_h": "leave h out at the noise levels where it takes less than this share off its "
    "validation loss, such as 0.02; default: nowhere",
}


@final
@dataclass(frozen=True)
class Faster:
    """The options, as they were typed."""

    precision: Precision = "fp32"
    channels_last: bool = False
    compile: bool = False
    reuse: int = 1
    skip_h: float | None = None

    def check(self) -> None:
        """Raise for what cannot be meant, before anything is read."""
        checks.whole(
            "reuse",
            self.reuse,
            most=1000,
            meaning="the steps that share their deep features",
            advice="1 evaluates every step whole",
        )
        if self.reuse > 1 and self.compile:
            raise InvalidInput(
                "compile",
                given="true",
                expected="nothing: it is not used with --reuse, which evaluates parts of the prior",
                advice="leave one of the two out",
            )
        if self.skip_h is not None:
            checks.share(
                "skip_h", self.skip_h, "what h must take off the loss to be kept", one=False
            )

    def prior(self, prior: Prior, out: Path) -> Prior:
        """The prior of a run in the folder `out`, evaluated so."""
        if self.reuse > 1:
            prior = Reused(prior, self.reuse)
        if settled(prior, self.precision, out) == "bf16":
            prior = InPrecision(prior, "bf16")
        if self.channels_last:
            channels_last(prior)
        if self.compile:
            compiled(prior)
        return prior

    def method(self, method: Method, card: Mapping[str, Any] | None) -> Method:
        """The method with its h-transform evaluated so; `card` is that of a learned one."""
        h = method.h_transform
        if h is None:
            return method
        if self.channels_last:
            channels_last(h)
        if self.compile:
            compiled(h)
        if self.skip_h is not None and card is not None:
            metrics = card.get("metrics")
            bins = metrics.get("bins", ()) if isinstance(metrics, Mapping) else ()
            h = Skipped.by_validation(h, bins, self.skip_h)
        return replace(method, h_transform=h)
