"""`deft sample`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from torch import Tensor

from deft.commands import by_tiles, inputs, priors, sample_words, tiles
from deft.commands import functionals as own
from deft.commands.drawing import Drawing
from deft.commands.faster import Faster, Precision
from deft.commands.inputs import Convert, Fit, Range, Window
from deft.commands.intervals import say_intervals, usable
from deft.commands.mask_inputs import seen
from deft.commands.measurements import observation
from deft.commands.methods import DEFT
from deft.commands.on_card import prior_of, problem_of
from deft.commands.priors import Labels, Names
from deft.commands.recipes import MethodRecipe
from deft.commands.verdicts import ESTIMATE, Verdicts, noise_level, started_from
from deft.data.nifti import holds_nifti
from deft.errors import InvalidInput, at_least_one
from deft.likelihoods import Observation, warn_doubts
from deft.noise import Noise, mix
from deft.pipeline.fourier import FFT
from deft.priors.details import Details
from deft.priors.tiles import Layout
from deft.problems import Problem
from deft.samplers.base import Sampler
from deft.samplers.dpm_solver import DPMSolver
from deft.storage import claims
from deft.storage.lock import locked
from deft.studies.words import number
from deft.training import checkpoint, places
from deft.training.validated import same_units, sampler_of

EXAMPLE = "deft sample --h h-digits-32-inpainting --images FOLDER --out samples"
HELP = sample_words.HELP


def run(
    out: Path,
    h: Path | None = None,
    method: MethodRecipe | None = None,
    prior: str | None = None,
    problem: Problem | None = None,
    measurements: Path | None = None,
    masks: Path | None = None,
    invert_masks: bool = False,
    sensitivities: Path | None = None,
    fft: FFT | None = None,
    sigma_y: float | Literal["estimate"] | Path | None = None,
    images: Path | None = None,
    samples: int = 8,
    sampler: Sampler | None = None,
    steps: int | None = None,
    seed: int = 0,
    batch_size: int = 64,
    limit: int | None = None,
    functionals: Path | None = None,
    tile: str = "auto",
    overlap: int | None = None,
    layout: Layout | None = None,
    precision: Precision = "fp32",
    channels_last: bool = False,
    compile: bool = False,
    reuse: int = 1,
    skip_h: float | None = None,
    convert: Convert | None = None,
    fit: Fit | None = None,
    value_range: Range | None = None,
    window: Window | None = None,
    strict: bool = False,
    key: str | None = None,
    series: str | None = None,
    slice: str | None = None,
    labels: Labels | None = None,
    subfolder: str | None = None,
    schedule: str | None = None,
    prediction_type: str | None = None,
    details: Details | None = None,
    context: Path | None = None,
    allow: Names | None = None,
    *,
    resolved: str = "",
) -> None:
    """Draw posterior samples for measurements, or for clean images that are measured first.

    Writes for each image NAME.npz (samples, mean, std, y), and PNG files: NAME-mean, NAME-std,
    NAME-samples; where --h was calibrated (deft conformal) also NAME-interval, and low and high in
    the npz; for TwistedSMC also NAME-weights.json; and done.jsonl, which remembers by content what
    each came from: what changed is drawn again. Prints the misfit, 1 where the samples explain the
    measurement as well as the truth does; and, for an h-transform with a reference (deft alarm), a
    verdict on each answer.

    Pictures larger than the prior are drawn by overlapping tiles, each in its own size, one sample
    at a time (docs/tiles.md). Designs of protein backbones are drawn by deft scaffold.
    """
    if (h is None) == (method is None):
        raise InvalidInput("say how to condition: either --h FILE, or --method such as DPS.")
    if (measurements is None) == (images is None):
        raise InvalidInput(
            "say what to condition on: either --measurements, or --images with a problem."
        )
    if method is not None:
        inputs.unused("with --method: it is for a learned h-transform", skip_h=skip_h)
        inputs.unused(
            "with --method, which no reference is for",
            sigma_y=ESTIMATE if sigma_y == ESTIMATE else None,
        )
        inputs.unused(
            "with --method, which has its own (--method.steps)",
            steps=steps,
            sampler=None if sampler is None else type(sampler).__name__,
        )
    if sampler is not None:
        inputs.unused("with --sampler, which has its own (--sampler.steps)", steps=steps)
    cheaper = Faster(precision, channels_last, compile, reuse, skip_h)
    cheaper.check()
    at_least_one({"samples": samples, "batch_size": batch_size, "limit": limit})
    if images is not None:
        inputs.unused(
            "with --images, which are measured by the problem",
            masks=masks,
            invert_masks=invert_masks,
            sensitivities=sensitivities,
            fft=fft,
            sigma_y=sigma_y,
        )
        inputs.apart(out, images)
    else:
        inputs.unused(
            "with --measurements, which are taken as they are",
            fit=fit,
            window=window,
            series=series,
        )
        inputs.apart(out, measurements)
    h = None if h is None else places.fetched(h)
    network = priors.opened(
        prior or prior_of(h),
        labels,
        subfolder,
        schedule,
        prediction_type,
        fetch=prior is not None,  # what a file names is not downloaded
        allow=priors.names(allow),
        details=details,
        context=context,
        h=h,
    )
    inputs.no_chains(network)
    problem = problem or problem_of(h, priors.names(allow))
    card = {} if h is None else checkpoint.read_card(h)
    same_units(card, window)
    drawn_by = sampler or (sampler_of(card) if steps is None else DPMSolver(steps=steps))
    recipe = method or DEFT(h, drawn_by, any_problem=False)  # type: ignore[arg-type]
    recipe.allow = priors.names(allow)
    chosen = cheaper.method(recipe.build("samples", network, problem), recipe.card())
    network = cheaper.prior(network, out)
    nifti = holds_nifti(measurements or images)  # type: ignore[arg-type]
    if nifti:
        inputs.unused(
            "with NIfTI, whose slices are not drawn by tiles",
            overlap=overlap,
            layout=layout,
            tile=None if tile in ("auto", "off") else tile,
        )
    if window is None and series is None and not nifti:
        inputs.unused("without a NIfTI file", slice=slice)
        reader = tiles.Reader(
            network,
            problem,
            seed,
            images is None,
            overlap,
            layout,
            batch_size,
            convert,
            value_range,
            strict,
            key,
            masks,
            invert_masks,
            started_from(problem, sigma_y),
        )
        pieces = by_tiles.pieces(reader, images, measurements, tile, fit)
        if pieces is not None:
            inputs.unused(
                "with pictures larger than the prior",
                functionals=functionals,
                sensitivities=sensitivities,
                fft=fft,
                sigma_y=sigma_y if isinstance(sigma_y, Path) or sigma_y == ESTIMATE else None,
                reuse=None if reuse == 1 else reuse,
            )
            by_tiles.draw(out, reader, pieces.first(limit), chosen, samples, h, resolved)
            return
    truth: Tensor | None = None
    if images is not None:
        found = inputs.opened(
            images,
            network,
            convert=convert,
            fit=fit,
            value_range=value_range,
            strict=strict,
            window=window,
            problem=problem,
            key=key,
            series=series,
            slice=slice,
        )
        truth, names = inputs.images(found, limit)
        observed = problem.draw(truth, Noise([mix(seed, 4, i) for i in range(len(truth))]))
    else:
        observed, names = observation(
            measurements,  # type: ignore[arg-type]
            network,
            problem,
            masks=masks,
            sigma_y=started_from(problem, sigma_y),
            convert=convert,
            value_range=value_range,
            strict=strict,
            invert_masks=invert_masks,
            key=key,
            slice=slice,
            sensitivities=sensitivities,
            fft=fft,
        )
        said = seen(observed, masks, problem, network)
        if said is not None:
            print(said)
        names = names[:limit]
        if sigma_y == ESTIMATE:
            observed = observed.take(range(len(names)))
            seeds = [mix(seed, 6, i) for i in range(len(names))]
            taken = network.take(range(len(names)))
            found_level = noise_level(
                card, taken, chosen, problem, observed, samples, seeds, batch_size
            )
            print(found_level.line())
            likelihood = problem.likelihood(observed.operator, observed.y, found_level.pooled)
            observed = Observation(observed.y, likelihood)
        warn_doubts(observed.to(network.device), network, operator=False)
    chosen.check(network, observed.to(network.device))
    intervals = usable(chosen, problem, samples, sigma_y, masks, sensitivities)
    weighed = None if functionals is None else own.read(functionals, tuple(network.signal_shape))
    if weighed is not None:
        own.same(weighed, intervals)
    seeds = [mix(seed, 5, i) for i in range(len(names))]
    with locked(out):
        claims.claim_yaml(
            out, resolved, "deft sample", free=("batch_size", "limit", "config", "out")
        )
        Drawing(
            out,
            network.take(range(len(names))),
            problem,
            chosen,
            observed.take(range(len(names))),
            names,
            seeds,
            samples,
            batch_size,
            h,
            truth,
            intervals,
            weighed,
            None if h is None else Verdicts.of(card, chosen, observed, samples),
        ).run()
    say_intervals(intervals)
    print(f"{number(len(names), 'image')} x {number(samples, 'sample')} in {out}")
