"""Designs of protein backbones around a motif, by an h-transform of motifs with its prior.

    pipe = deft.load("run")                                  # what deft train left, for motifs
    found = deft.scaffold(pipe, "5TPN.pdb", 16)              # Scaffolds: designs, measures
    found.best.write("designs")                              # as deft scaffold writes them

Design i depends on (seed, i) and the problem alone: its layout is drawn with the seed (seed, 7, i),
its noise with (seed, 8, i); `deft scaffold` draws the same.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deft import checks
from deft.data.proteins import (
    Design,
    Layout,
    MotifProblem,
    observed,
    read_problem,
    write_design,
)
from deft.errors import DeftWarning, InvalidInput, SamplesNotFinite
from deft.htransforms.base import HTransform
from deft.htransforms.composed import Scaled
from deft.metrics.protein.backbone_atoms import rebuilt
from deft.metrics.protein.superposition import HELD
from deft.noise import mix
from deft.pipeline.pipeline import DeftPipeline
from deft.priors.backbone import BackbonePrior
from deft.samplers.base import Watch
from deft.samplers.cooled import Cooled
from deft.studies.method import Method
from deft.studies.protein.ranked import design_measures, ranked
from deft.studies.words import number
from deft.studies.words import some as some_of

STEPS, NOISE_SCALE = 80, 0.6
_BELOW = 6.0  # angstrom of noise: above, the size and the shape of the whole are decided
_LAYOUT, _NOISE = 7, 8
_MOST = 999.0 / 2  # angstrom from the middle: PDB files have room for 999 below 0


@final
@dataclass(frozen=True, repr=False)
class Scaffolds:
    """Designs around one motif, and the measures of each (deft.studies.protein.ranked)."""

    designs: tuple[Design, ...]
    measures: tuple[Mapping[str, float], ...]

    def __len__(self) -> int:
        return len(self.designs)

    def __repr__(self) -> str:
        names = dict.fromkeys(one.layout.problem.name for one in self.designs)
        found = [row["motif_rmsd"] for row in self.measures if "motif_rmsd" in row]
        held = f", motif within {HELD:g} Å: {sum(rmsd < HELD for rmsd in found)}" if found else ""
        return f"Scaffolds({number(len(self), 'design')} of {', '.join(names)}{held})"

    @property
    def best(self) -> Scaffolds:
        """The same, those with the fewest faults first."""
        order = ranked(self.measures)
        return Scaffolds(
            tuple(self.designs[i] for i in order), tuple(self.measures[i] for i in order)
        )

    def write(self, folder: str | Path, ending: str = ".pdb") -> list[Path]:
        """Write each design as NAME_NUMBER.pdb (or .cif), numbered as they stand here."""
        return [
            write_design(Path(folder) / f"{one.layout.problem.name}_{k}{ending}", one)
            for k, one in enumerate(self.designs)
        ]


def scaffold(
    pipeline: DeftPipeline,
    problem: MotifProblem | str | Path,
    designs: int = 8,
    *,
    steps: int | None = None,
    weight: float | None = None,
    seed: int = 0,
    sigma_y: float = 0.1,
    batch_size: int = 16,
) -> Scaffolds:
    """Design backbones around a motif with a pipeline whose prior is one of backbones.

    `problem` is a motif problem (`deft.data.proteins.from_contig` makes one of any structure) or
    the file of one; `steps` are those of `cooled`, by default the sampler on the card, or 80 of
    them; `weight` multiplies what the motif adds to the prior's estimate, by default the one on the
    card, or 1; `sigma_y` is how far the motif may be from its place, in angstrom. Raises
    `InvalidInput` for a prior of something else, and for motifs that its chains cannot hold.
    Designs that are not finite are left out, with a warning; raises `SamplesNotFinite` where none
    is left.
    """
    designs = checks.whole("designs", designs, meaning="designs")
    batch_size = checks.whole("batch_size", batch_size, meaning="chains denoised at once")
    if not isinstance(pipeline, DeftPipeline):
        raise InvalidInput(
            "pipeline", given=repr(pipeline)[:80], expected='a pipeline, such as deft.load("NAME")'
        )
    prior = pipeline.prior
    if not isinstance(prior, BackbonePrior):
        raise InvalidInput(
            "pipeline",
            given=f"one with the prior {prior.name}, whose signals have the shape "
            f"{list(prior.event_shape)}",
            expected="one whose prior is of protein backbones",
        )
    read = problem if isinstance(problem, MotifProblem) else read_problem(problem)
    asked = read.within(prior.min_length, prior.max_length, prior.name)
    own = steps is None and pipeline.card.get("sampler") is not None
    sampler = pipeline.sampler if own else cooled(STEPS if steps is None else steps)
    led = weighted(pipeline.h, weight, pipeline.card)
    method = Method("DEFT", led, sampler, learned=pipeline.card)
    found: list[Design] = []
    rows: list[dict[str, float]] = []
    lost: list[int] = []
    for start in range(0, designs, batch_size):
        some = range(start, min(start + batch_size, designs))
        layouts = [layout_of(asked, seed, i) for i in some]
        seeds = [noise_seed(seed, i) for i in some]
        x = drawn(prior, method, layouts, seeds, sigma_y, batch_size)
        fine = chains_at_all(x, layouts)
        lost += [i for i, ok in zip(some, fine, strict=True) if not ok]
        layouts = [layout for layout, ok in zip(layouts, fine, strict=True) if ok]
        if layouts:
            x = x[torch.tensor(fine)]
            rows += measured(x, layouts)
            found += [
                with_backbone(layout, one[: layout.length].double().numpy())
                for layout, one in zip(layouts, x, strict=True)
            ]
    if lost:
        said = SamplesNotFinite(
            f"{number(len(lost), 'design')} of {designs}, number {some_of(list(map(str, lost)))}",
            given=f"coordinates that are not finite, or beyond {_MOST:g} angstrom",
            expected="chains",
            advice="take more steps or a smaller weight, and look at the prior and at h",
        )
        if not found:
            raise said
        warnings.warn(f"left out: {said}", DeftWarning, stacklevel=2)
    return Scaffolds(tuple(found), tuple(rows))


def weighted(
    h: HTransform, weight: float | None, card: Mapping[str, object] | None = None
) -> HTransform:
    """The h-transform with its shift multiplied, by what its card says where no weight is given: as
    less noise than DDPM's makes chains more typical of the prior, a weight above 1 makes them more
    typical of the motif.
    """
    said = (card or {}).get("weight") if weight is None else weight
    value = checks.positive("weight", 1.0 if said is None else said, "a factor on the shift")
    return h if value == 1.0 else Scaled(h, value)


def cooled(steps: int = STEPS, noise_scale: float = NOISE_SCALE) -> Cooled:
    """The sampler of backbones that the prior which ships was measured with: DDPM with less noise
    below 6 angstrom, for more typical chains; `noise_scale` 1 is DDPM.
    """
    return Cooled(steps, noise_scale, _BELOW)


def layout_of(problem: MotifProblem, seed: int, i: int) -> Layout:
    """That of design i."""
    return problem.sample_layout(mix(seed, _LAYOUT, i))


def noise_seed(seed: int, i: int) -> int:
    """The seed of the noise of design i."""
    return mix(seed, _NOISE, i)


def drawn(
    prior: BackbonePrior,
    method: Method,
    layouts: Sequence[Layout],
    seeds: Sequence[int],
    sigma_y: float,
    batch_size: int,
    on_step: Watch | None = None,
) -> Tensor:
    """One chain for each layout, (designs, places, 3), 0 after its last residue."""
    told, observation = observed(prior, layouts, sigma_y)
    found = method.samples(
        told, observation, 1, seed=list(seeds), batch_size=batch_size, on_step=on_step
    )
    return found.x_0[:, 0].detach().cpu()


def chains_at_all(x: Tensor | Sequence[Tensor], layouts: Sequence[Layout]) -> list[bool]:
    """Which of these are finite, and fit into a file, around the centre of their own residues."""
    own = [one[: layout.length] for one, layout in zip(x, layouts, strict=True)]
    # not for NaN
    return [bool(((one - one.mean(0)).abs() < _MOST).all()) for one in own]


def measured(x: Tensor, layouts: Sequence[Layout]) -> list[dict[str, float]]:
    """The measures of such chains."""
    lengths = torch.tensor([layout.length for layout in layouts])
    return design_measures(x, torch.arange(x.shape[1]) < lengths[:, None], layouts)


def with_backbone(layout: Layout, xyz: NDArray[Any]) -> Design:
    """A design with N, C and O rebuilt from its trace, around its own centre."""
    xyz = xyz - xyz.mean(0)
    atoms = rebuilt(torch.from_numpy(xyz)[None])[0].numpy()
    n, _, c, o = np.moveaxis(atoms, 1, 0)
    return Design(layout, xyz, {"N": n, "C": c, "O": o})
