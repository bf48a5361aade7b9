"""What `deft scaffold` is given: motif problems, and the method that designs around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from deft.commands import inputs
from deft.commands.methods import DEFT
from deft.data.proteins import MotifProblem, from_contig, read_problems, read_structure
from deft.data.proteins.export import check_name
from deft.errors import InvalidInput, nearest_names
from deft.htransforms.dps import DPS
from deft.htransforms.gaussian_potential import GaussianPotential
from deft.pipeline.scaffolds import NOISE_SCALE, STEPS, cooled, weighted
from deft.priors.backbone import BackbonePrior
from deft.priors.base import Prior
from deft.priors.identity import same_identity
from deft.problems.motif import MotifScaffolding
from deft.samplers.base import Sampler
from deft.samplers.grids import UniformTime
from deft.samplers.replacement import ReplacementAfter
from deft.samplers.smc import ResampledSMC, TwistedSMC
from deft.storage.cards import plain
from deft.studies.method import Method
from deft.training import checkpoint, places
from deft.training.validated import sampler_of
from deft.transitions import Steps

METHODS = {
    "DEFT": "a learned h-transform, --h",
    "Guidance": "reconstruction guidance, by the gradient through the prior",
    "DPS": "the published step along the gradient through the prior",
    "Replacement": "the motif is overwritten with a noised copy at every step",
    "TwistedSMC": "TDS: particles of which the likely ones are kept",
    "Unconditional": "the prior alone, which does not see the motif",
}
_ALSO = {"learned": "DEFT", "tds": "TwistedSMC"}
_ZETA, _PARTICLES = 1.7, 8
_WEIGHT = 4.0  # of reconstruction guidance: half of what docs/protein-results.md was tuned to


def problems_of(
    problem: Path | None,
    pdb: Path | None,
    contig: str | None,
    length: str | None,
    name: str | None,
) -> list[MotifProblem]:
    """The problems that a command line names: of files that say their own, or of a structure and a
    contig.
    """
    if (problem is None) == (pdb is None):
        raise InvalidInput(
            "say which motif: either --problem FILE (of Genie 2, MotifBench, or a benchmark.csv), "
            "or --pdb FILE with --contig 10-40/A163-181/10-40."
        )
    if pdb is not None:
        if contig is None:
            raise InvalidInput(
                "contig",
                given="nothing",
                expected="what is kept of --pdb and how long the scaffolds are, such as "
                "10-40/A163-181/10-40",
            )
        return _named_problems([from_contig(contig, read_structure(pdb), length, name)])
    inputs.unused("with --problem, which says its own", contig=contig, length=length)
    assert problem is not None
    found = read_problems(problem)
    if name is None:
        return _named_problems(found)
    names = [one.name for one in found]
    if name not in names:
        raise InvalidInput(
            "name",
            given=name,
            expected=f"a problem of {problem}: {', '.join(names[:12])}"
            f"{', ...' if len(names) > 12 else ''}{nearest_names(name, names)}",
        )
    return _named_problems([found[names.index(name)]])


def _named_problems(found: list[MotifProblem]) -> list[MotifProblem]:
    """The problems, if their names make names of files, one each."""
    names = [problem.name for problem in found]
    for name in names:
        try:
            check_name(name)
        except InvalidInput as error:
            raise InvalidInput(
                "name",
                given=name,
                expected=error.expected,
                advice="with --pdb, --name says another; of a problem its file does",
            ) from error
        if names.count(name) > 1:
            raise InvalidInput(
                "problem",
                given=f"{names.count(name)} problems that are called {name}",
                expected="problems of different names, which their designs are kept under",
            )
    return found


def check_prior(prior: Prior) -> BackbonePrior:
    """The prior, if it is one of backbones."""
    if not isinstance(prior, BackbonePrior):
        raise InvalidInput(
            "prior",
            given=f"{prior.name}, whose signals have the shape {list(prior.event_shape)}",
            expected="a prior of protein backbones: backbone-128, a checkpoint of Genie, or one of "
            "your own (deft.CallableBackbone)",
        )
    return prior


def fitting(problems: Sequence[MotifProblem], prior: BackbonePrior) -> list[MotifProblem]:
    """Those with designs of lengths that a prior knows; of several, others are left out and said.
    Raises `InvalidInput` where none is left.
    """
    found: list[MotifProblem] = []
    for k, problem in enumerate(problems, start=1):
        try:
            found.append(for_prior(problem, prior))
        except InvalidInput as error:
            if k == len(problems) and not found:
                raise
            print(f"left out: {error}")
    return found


def for_prior(problem: MotifProblem, prior: BackbonePrior) -> MotifProblem:
    """The problem with designs of the lengths that a prior knows; those that are left out are said.
    Raises `InvalidInput` where none is left.
    """
    low, high = problem.possible
    least, most = prior.min_length, prior.max_length
    found = problem.within(least, most, prior.name)
    if found.possible != (low, high):
        print(
            f"{problem.name}: designs of {found.possible[0]} to {found.possible[1]} residues, of "
            f"{low} to {high}, since {prior.name} knows chains of {least} to {most}"
        )
    return found


def shipped_for(prior: Prior) -> Path | None:
    """The h-transform of motifs that ships for a prior."""
    ours = plain(prior.identity())
    assert isinstance(ours, dict)
    for name in places.shipped():
        if not name.startswith(f"h-{prior.name}-"):
            continue
        path = places.located(name)
        card = checkpoint.read_card(path)
        problem, theirs = card.get("problem"), card.get("prior")
        if (
            isinstance(problem, dict)
            and isinstance(theirs, dict)
            and problem.get("class") == MotifScaffolding.__name__
            and not same_identity(theirs, ours)
        ):
            return path
    return None


def method_of(
    name: str | None,
    h: Path | None,
    prior: BackbonePrior,
    steps: int | None,
    noise_scale: float | None,
    zeta: float | None,
    particles: int | None,
    allow: tuple[str, ...],
    weight: float | None = None,
) -> tuple[Method, Path | None]:
    """The method, and the file of its h-transform, where it has one.

    Without a name it is the h-transform `h`, or the one that ships for the prior, or else
    reconstruction guidance.
    """
    chosen = _named(name)
    if h is not None and chosen not in (None, "DEFT"):
        raise InvalidInput(
            "method",
            given=f"{chosen}, with --h {h}",
            expected="one of the two: --h is for DEFT",
        )
    found = h
    if h is None and chosen in (None, "DEFT"):
        found = shipped_for(prior)
        if found is None and chosen == "DEFT":
            raise InvalidInput(
                "h",
                given="nothing",
                expected=f"a learned h-transform for {prior.name}, since none ships for it",
                advice="train one: deft train --problem MotifScaffolding",
            )
    kind = chosen or ("DEFT" if found is not None else "Guidance")
    if chosen is None and found is None:
        print(f"no h-transform of motifs ships for {prior.name}: --method Guidance leads its steps")
    if kind != "DPS":
        inputs.unused(f"by {kind}: it is the step size of DPS", zeta=zeta)
    if kind not in ("DEFT", "Guidance"):
        inputs.unused(f"by {kind}: it is on what DEFT and Guidance add", weight=weight)
    if kind != "TwistedSMC":
        inputs.unused(f"by {kind}: they are those of TwistedSMC", particles=particles)
    if kind == "TwistedSMC":
        inputs.unused(f"by {kind}, which needs the whole noise", noise_scale=noise_scale)
    if kind == "DEFT":
        assert found is not None
        learned = _learned(found, prior, steps, noise_scale, allow)
        assert learned.h_transform is not None
        led = weighted(learned.h_transform, weight, learned.learned)
        return replace(learned, h_transform=led), places.located(found)
    scale = NOISE_SCALE if noise_scale is None else noise_scale
    return _by_name(kind, prior, steps or STEPS, scale, zeta, particles, weight), None


def _named(name: str | None) -> str | None:
    """A method by its name, in small letters too."""
    if name is None:
        return None
    known = {key.lower(): key for key in METHODS} | _ALSO
    if name.lower() not in known:
        raise InvalidInput(
            "method",
            given=name,
            expected="; ".join(f"{key}: {what}" for key, what in METHODS.items()),
        )
    return known[name.lower()]


def _learned(
    h: Path,
    prior: BackbonePrior,
    steps: int | None,
    noise_scale: float | None,
    allow: tuple[str, ...],
) -> Method:
    card = checkpoint.read_card(places.located(h))
    problem = card.get("problem")
    if isinstance(problem, dict) and problem.get("class") != MotifScaffolding.__name__:
        raise InvalidInput(
            "h",
            given=f"{h}, which was trained for {problem.get('class')}",
            expected=f"one that was trained for {MotifScaffolding.__name__}",
        )
    scale = NOISE_SCALE if noise_scale is None else noise_scale
    sampler: Sampler = cooled(STEPS if steps is None else steps, scale)
    if steps is None and noise_scale is None and card.get("sampler") is not None:
        sampler = sampler_of(card)
    recipe = DEFT(h, sampler, any_problem=True)
    recipe.allow = allow
    return recipe.build("DEFT", prior, MotifScaffolding())


def _by_name(
    kind: str,
    prior: BackbonePrior,
    steps: int,
    noise_scale: float,
    zeta: float | None,
    particles: int | None,
    weight: float | None,
) -> Method:
    if kind == "TwistedSMC":
        twist, count = (
            GaussianPotential.for_prior(prior),
            _PARTICLES if particles is None else particles,
        )
        smc = TwistedSMC(twist, steps, grid=UniformTime())
        return Method(kind, twist, ResampledSMC(smc, count), notes=f"{count} particles")
    sampler = cooled(steps, noise_scale)
    if kind == "Replacement":
        return Method(kind, None, ReplacementAfter(sampler), notes="without time travel")
    if kind == "DPS":
        step = _ZETA if zeta is None else zeta
        ancestral = Steps(prior.schedule, sampler.times_of(prior), 1.0)  # by which its mean moves
        guided = DPS.published(step).on(ancestral)
        return Method(kind, guided, sampler, notes=f"zeta = {step:g}")
    if kind == "Guidance":
        factor = _WEIGHT if weight is None else weight
        led = weighted(GaussianPotential.for_prior(prior), factor)
        return Method(kind, led, sampler, notes=f"weight {factor:g}")
    return Method(kind, None, sampler, notes="does not see the motif")
