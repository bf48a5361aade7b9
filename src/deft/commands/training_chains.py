"""What `deft train` learns from where the prior is one of protein backbones: chains, in place of
images.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from deft.commands import inputs
from deft.data.proteins import read_chains
from deft.errors import InvalidInput
from deft.priors.backbone import BackbonePrior
from deft.priors.base import Prior
from deft.samplers.ddim import DDIM
from deft.training.backbones import Backbones

SHORTEST = 40
"""Residues: shorter chains of a file are left out, as fragments and peptides."""
SAMPLER = DDIM(100, eta=1.0)
"""What an h-transform of chains is validated with, and `deft scaffold` takes."""


def of_chains(prior: Prior) -> bool:
    """Whether a prior is one of chains, which are told by a mask."""
    return "mask" in prior.takes


def refuse(options: Mapping[str, object], **more: object) -> None:
    """Raise for an option that is for images, of those of reading them and of `more`."""
    reading = {name: value for name, value in options.items() if name != "problem"}
    inputs.unused("with a prior of backbones: it is for images", **reading, **more)


def sources(
    chains: Path, held_out: Path | None, prior: Prior, share: float
) -> tuple[Backbones, Backbones | None]:
    """Chains to train on, and about a share of them to validate with: the last ones, so that chains
    of one family may stand together.
    """
    if not isinstance(prior, BackbonePrior):
        raise InvalidInput("prior", given=prior.name, expected="a prior of backbones")
    shortest = max(SHORTEST, prior.min_length)
    found = read_chains(chains, shortest)
    if held_out is not None:
        return Backbones(found, prior), Backbones(read_chains(held_out, shortest), prior)
    count = max(1, int(len(found) * share)) if share else 0
    if not count:
        return Backbones(found, prior), None
    if count == len(found):
        raise InvalidInput(
            "validation_share",
            given=share,
            expected="0, since of one chain none can be held out",
            advice="give more chains, or --validation_share 0",
        )
    return Backbones(found[:-count], prior), Backbones(found[-count:], prior)
