"""What `deft train` learns from where the prior is one of protein backbones: chains, in place of
images.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from deft.commands import inputs
from deft.data.proteins import read_chains
from deft.errors import InvalidInput
from deft.noise import Noise
from deft.operators import AlignedMotif, FixedMotif
from deft.pipeline.scaffolds import cooled
from deft.priors.backbone import BackbonePrior
from deft.priors.base import Prior
from deft.problems import Problem
from deft.training.chains import Chains
from deft.training.sources import Source

_SHORT_BOND, _LONG_BOND = 2.0, 20.0  # angstrom between neighbours; beyond, the unit is another
SHORTEST = 40
"""Residues: shorter chains of a file are left out, as fragments and peptides."""
SAMPLER = cooled()
"""What an h-transform of chains is validated with, and `deft scaffold` takes."""


def of_chains(prior: Prior) -> bool:
    """Whether a prior is one of chains, which are told by a mask."""
    return "mask" in prior.takes


def refuse(options: Mapping[str, object], **more: object) -> None:
    """Raise for an option that is for images, of those of reading them and of `more`."""
    reading = {name: value for name, value in options.items() if name != "problem"}
    inputs.unused("with a prior of backbones: it is for images", **reading, **more)


def check_problem(problem: Problem, chains: Source, prior: Prior, seed: int) -> None:
    """Raise `InvalidInput` for a problem that measures no motif of a chain."""
    noise = Noise([seed], prior.device)
    refused = InvalidInput(
        "--problem",
        given=type(problem).__name__,
        expected=f"MotifScaffolding, or one of your own that measures motifs: {prior.name} is a "
        "prior of protein backbones",
    )
    try:
        operator = problem.draw(chains.batch([0], noise).x_0.to(prior.device), noise).operator
    except InvalidInput as error:
        raise refused from error
    if not isinstance(operator, AlignedMotif | FixedMotif):
        raise refused


def sources(
    chains: Path, held_out: Path | None, prior: Prior, share: float
) -> tuple[Chains, Chains | None]:
    """Chains to train on, and about a share of them to validate with: the last ones, so that chains
    of one family may stand together.
    """
    if not isinstance(prior, BackbonePrior):
        raise InvalidInput("prior", given=prior.name, expected="a prior of backbones")
    shortest = max(SHORTEST, prior.min_length)
    found = _read(chains, shortest)
    longest = prior.max_length
    if held_out is not None:
        other = _read(held_out, shortest)
        return Chains(_windows(found, longest), prior), Chains(_windows(other, longest), prior)
    count = max(1, int(len(found) * share)) if share else 0
    if not count:
        return Chains(_windows(found, longest), prior), None
    if count == len(found):
        raise InvalidInput(
            "validation_share",
            given=share,
            expected="0, since of one chain none can be held out",
            advice="give more chains, or --validation_share 0",
        )
    train, validate = (_windows(part, longest) for part in (found[:-count], found[-count:]))
    return Chains(train, prior), Chains(validate, prior)


def _read(path: Path, shortest: int) -> list[Tensor]:
    """The chains of a file or a folder. Raises `InvalidInput` for another unit than angstrom."""
    found = read_chains(path, shortest)
    for i, chain in enumerate(found):
        bond = float(chain.diff(dim=0).norm(dim=1).median())
        if not _SHORT_BOND < bond < _LONG_BOND:
            raise InvalidInput(
                f"chain {i} of {path}",
                given=f"neighbours {bond:.3g} apart, in the middle",
                expected="C-alpha atoms in angstrom, 3.8 apart",
                advice="multiply nanometres by 10" if bond < 1 else "",
            )
    return found


def _windows(chains: Sequence[Tensor], longest: int) -> list[Tensor]:
    """The chains, and of those that are too long windows, evenly spread, which together are all of
    it.
    """
    pieces: list[Tensor] = []
    for chain in chains:
        count, spare = math.ceil(len(chain) / longest), max(len(chain) - longest, 0)
        starts = [round(k * spare / max(count - 1, 1)) for k in range(count)]
        pieces += [chain[start : start + longest] for start in starts]
    return pieces
