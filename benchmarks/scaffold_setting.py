"""Problems, methods and parts of benchmarks/scaffold.py.

A problem is a list of layouts, which say where a motif stands in each design; all methods get the
same ones, with the same noise. Held-out chains are problems too: each has a motif of its own, and
its native scaffold is known.
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from deft.data.proteins.observed import observed
from deft.data.proteins.parts import Scaffold, Segment
from deft.data.proteins.problem import Layout, MotifProblem
from deft.data.proteins.problems import read_problem
from deft.data.proteins.stacked import stacked_motifs
from deft.data.proteins.structure import Residue
from deft.htransforms.base import HTransform
from deft.htransforms.composed import Scaled
from deft.htransforms.dps import DPS
from deft.htransforms.gaussian_potential import GaussianPotential
from deft.likelihoods import Observation
from deft.noise import Noise, mix
from deft.posterior import Posterior
from deft.priors.backbone import BackbonePrior
from deft.priors.base import Prior
from deft.priors.equivariant_backbone import EquivariantBackbone
from deft.priors.wrapped import WrappedPrior
from deft.samplers.cooled import Cooled
from deft.samplers.replacement import ReplacementAfter
from deft.samplers.smc import TwistedSMC
from deft.studies.counted import Counted
from deft.studies.protein import PlacedMotif
from deft.training import checkpoint
from deft.transitions import Steps

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "recipes"))
from train_scaffold import of_chains

AT_ONCE = 16
Draw = Callable[[BackbonePrior, Observation, Noise], Tensor]
"""Designs for a prior that is told their lengths, one for each seed."""
Conditional = Callable[[Cooled], Draw]
"""The designs of a network that asks no prior, by the steps of a sampler."""


@final
@dataclass(frozen=True)
class Problem:
    """Designs that are asked for: a layout each."""

    name: str
    layouts: tuple[Layout, ...]

    @property
    def placed(self) -> PlacedMotif:
        """Where the motifs lie."""
        return PlacedMotif(*stacked_motifs(self.layouts))

    def seeds(self, seed: int) -> list[int]:
        """The seed of each design."""
        own = mix(*self.name.encode())
        return [mix(own, seed, k) for k in range(len(self.layouts))]


def of_chain(name: str, xyz: np.ndarray, sizes: tuple[int, int], seed: int) -> Layout:
    """A chain with a motif of its own in one piece, of a size between both ends and at a place that
    are drawn uniformly; the only layout is the chain's.
    """
    generator = np.random.default_rng(seed)
    n, size = len(xyz), int(generator.integers(sizes[0], sizes[1] + 1))
    start = int(generator.integers(0, n - size + 1))
    end = start + size
    residues = tuple(
        Residue("A", i + 1, "", "UNK", {"CA": tuple(map(float, xyz[i]))})  # type: ignore[dict-item]
        for i in range(start, end)
    )
    parts = (Scaffold(start, start), Segment(residues), Scaffold(n - end, n - end))
    return Layout(MotifProblem(name, parts), (start, size, n - end))


def of_file(path: Path, designs: int, lengths: tuple[int, int], shortest: bool = False) -> Problem:
    """A problem of the benchmark, with layouts by the number of the design; of the lengths that it
    allows those between both ends, where there are some, or the shortest alone.
    """
    problem = read_problem(path)
    low, high = problem.possible
    low = max(low, lengths[0])
    high = max(min(high, lengths[1]), low)
    found = replace(problem, length=(low, low if shortest else high))
    return Problem(path.stem, tuple(found.sample_layout(k) for k in range(designs)))


def guided(sampler: Cooled, h: HTransform) -> Draw:
    """The posterior with an h-transform, by the sampler; published steps are those of DDPM, by
    which the mean of `Cooled` moves.
    """

    def draw(prior: BackbonePrior, observation: Observation, noise: Noise) -> Tensor:
        bound = h.on(Steps(prior.schedule, sampler.times_of(prior), 1.0))
        return sampler.run(Posterior(prior, bound, observation), noise)

    return draw


def amortised(file: Path, prior: EquivariantBackbone) -> Conditional:
    """What recipes/train_scaffold.py --from-scratch wrote: it denoises by itself what the Gaussian
    chain of the prior leaves open, and takes the same steps.
    """
    chain = of_chains(prior)
    h, _ = checkpoint.load(file, chain)
    h.eval().requires_grad_(False)

    def by(sampler: Cooled) -> Draw:
        own = guided(sampler, h)

        def draw(told: BackbonePrior, observation: Observation, noise: Noise) -> Tensor:
            lengths = told.prior if isinstance(told, WrappedPrior) else told
            return own(chain.given(mask=lengths.mask), observation, noise)

        return draw

    return by


def candidates(
    prior: Prior, tuning: Mapping[str, Any], learned: Mapping[str, HTransform]
) -> dict[str, dict[float, HTransform]]:
    """What methods with a weight are chosen from: the two that differentiate the prior, and what
    was learned with its shift multiplied.
    """
    guidance = GaussianPotential.for_prior(prior)
    found: dict[str, dict[float, HTransform]] = {
        "DPS": {zeta: DPS.published(zeta) for zeta in tuning["zeta"]},
        "guidance": {weight: Scaled(guidance, weight) for weight in tuning["weight"]},
    }
    for name, h in learned.items():
        if name in tuning["learned"]:
            weights = tuning["learned"][name]
            found[f"{name}, weighted"] = {weight: Scaled(h, weight) for weight in weights}
    return found


def methods(sampler: Cooled, given: Mapping[str, HTransform]) -> dict[str, Draw]:
    """The methods that are compared, by name; `given` are h-transforms."""
    return {
        "unconditional": lambda prior, observation, noise: sampler.run(prior, noise),
        "replacement": ReplacementAfter(sampler).run,
        **{name: guided(sampler, h) for name, h in given.items()},
    }


def twisted(prior: BackbonePrior, steps: int, particles: int) -> Draw:
    """TDS: one of `particles`, chosen by its weight, of one system for each seed."""
    guidance = GaussianPotential.for_prior(prior)
    smc = TwistedSMC(guidance, steps, grid=Cooled(steps).grid)

    def draw(told: BackbonePrior, observation: Observation, noise: Noise) -> Tensor:
        weighed = smc(Posterior(told, guidance, observation), particles, seed=noise.seeds)
        return weighed.resample(1, seed=noise.seeds)[:, 0]

    return draw


def designs(
    prior: BackbonePrior, draw: Draw, problem: Problem, seed: int, sigma_y: float
) -> tuple[Tensor, Tensor, float]:
    """Designs of all layouts, their mask, and the processor's seconds for one."""
    seeds, began, parts = problem.seeds(seed), time.process_time(), []
    for start in range(0, len(seeds), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        told, observation = observed(prior, problem.layouts[part], sigma_y)
        parts.append(draw(told, observation, Noise(seeds[part])))
    seconds = (time.process_time() - began) / len(seeds)
    lengths = torch.tensor([layout.length for layout in problem.layouts])
    x = torch.zeros(len(seeds), int(lengths.max()), 3)
    for i, design in enumerate(design for part in parts for design in part):
        x[i, : lengths[i]] = design[: lengths[i]]
    return x, torch.arange(x.shape[1]) < lengths[:, None], seconds


def speed(
    methods: Mapping[str, Draw],
    prior: BackbonePrior,
    observation: Observation,
    rounds: int,
    steps: int,
) -> dict[str, Any]:
    """The processor's seconds of each method over those without conditioning, in another order in
    each round, since what a method leaves in memory costs the next one: median and range; and what
    is asked of the prior for one design and step.
    """
    noise, found = Noise(range(len(observation))), {}
    spent: dict[str, list[float]] = {name: [] for name in methods}
    for k in range(rounds):
        for name in random.Random(k).sample(list(methods), len(methods)):
            began = time.process_time()
            methods[name](prior, observation, noise)
            spent[name].append(time.process_time() - began)
    for name, draw in methods.items():
        counted = Counted(prior)
        draw(counted, observation, noise)  # type: ignore[arg-type]
        ratios = [a / b for a, b in zip(spent[name], spent["unconditional"], strict=True)]
        found[name] = {
            "seconds_over_unconditional": statistics.median(ratios),
            "range": [min(ratios), max(ratios)],
            "evaluations_per_step": counted.evaluations / len(noise) / steps,
            "gradients_per_step": counted.gradients / len(noise) / steps,
        }
    return found


def held_out(chains: Sequence[tuple[str, np.ndarray]], setting: Mapping[str, Any]) -> Problem:
    """The held-out chains with their motifs."""
    motif, seed = tuple(setting["motif"]), setting["seed"]
    chains = sorted(chains, key=lambda chain: len(chain[1]))  # batches of equal lengths cost less
    layouts = [
        of_chain(name, xyz, motif, seed=mix(seed, k))  # type: ignore[arg-type]
        for k, (name, xyz) in enumerate(chains)
    ]
    return Problem("held-out", tuple(layouts))


def some(found: Any, count: int, lengths: tuple[int, int]) -> list[tuple[str, np.ndarray]]:
    """The first chains of these lengths, one of each cluster, as ids and coordinates."""
    taken: dict[int, tuple[str, np.ndarray]] = {}
    for name, xyz, cluster, weight in zip(
        found.ids, found.coordinates, found.clusters, found.weights, strict=True
    ):
        if lengths[0] <= len(xyz) <= lengths[1] and weight == 1.0:
            taken.setdefault(int(cluster), (name, xyz))
    return list(taken.values())[:count]
