"""`deft alarm`."""

from __future__ import annotations

from pathlib import Path

from deft.commands import inputs, priors
from deft.commands.inputs import Convert, Fit, Range, Window
from deft.commands.methods import DEFT
from deft.commands.on_card import prior_of, problem_of
from deft.commands.priors import Names
from deft.errors import InvalidInput, at_least_one
from deft.metrics.alarm.reference import FEWEST
from deft.samplers.base import Sampler
from deft.samplers.dpm_solver import DPMSolver
from deft.storage import claims
from deft.storage.fingerprint import fingerprint, of_file
from deft.storage.lock import locked
from deft.studies.alarm import measured
from deft.studies.method import describe
from deft.training import checkpoint, places
from deft.training.noted import noted
from deft.training.validated import same_units, sampler_of

EXAMPLE = "deft alarm --h h-digits-32-inpainting --images FOLDER --out h-with-alarm"
HELP = {
    "h": "a learned h-transform, as in deft sample",
    "images": "held-out images, like those that will be measured and none of the training's; "
    f"{FEWEST} or more, 99 are good",
    "out": "a folder: the h-transform with its reference (OUT/h.safetensors), and the samples; the "
    "same command goes on from what is there",
    "samples": "per image, as many as deft sample will draw",
    "sampler": "as deft sample will use; default: that of the card",
    "steps": "evaluations of the prior per sample, in place of --sampler",
    "limit": "the first few images only",
    "noise_images": "on how many of the images the noise is halved, doubled and quadrupled, for "
    "deft sample --sigma_y estimate; 0 for none",
    "prior": "default: the one on the card of --h",
    "batch_size": "signals denoised at once; changes no result",
    "allow": priors.ALLOW_HELP,
    **inputs.IMAGE_HELP,
}


def run(
    h: Path,
    images: Path,
    out: Path,
    prior: str | None = None,
    samples: int = 8,
    sampler: Sampler | None = None,
    steps: int | None = None,
    limit: int | None = None,
    noise_images: int = 16,
    seed: int = 0,
    batch_size: int = 64,
    convert: Convert | None = None,
    fit: Fit | None = None,
    value_range: Range | None = None,
    window: Window | None = None,
    strict: bool = False,
    key: str | None = None,
    series: str | None = None,
    slice: str | None = None,
    allow: Names | None = None,
) -> None:
    """Measure on held-out images what answers look like where all is as told, and keep it with the
    h-transform, so that deft sample says of each answer whether it fits.

    Of reference answers 5 % are called doubtful.
    """
    if sampler is not None:
        inputs.unused("with --sampler, which has its own (--sampler.steps)", steps=steps)
    at_least_one({"samples": samples, "batch_size": batch_size, "limit": limit})
    if noise_images < 0:
        raise InvalidInput("noise_images", given=noise_images, expected="a count >= 0")
    inputs.apart(out, images)
    allowed = priors.names(allow)
    path = places.fetched(h)
    if path.resolve().parent == out.resolve():
        raise InvalidInput(
            "--out",
            given=str(out),
            expected="another folder than that of --h, which stays as it is",
        )
    network = priors.opened(
        prior or prior_of(path),
        None,
        None,
        None,
        None,
        fetch=prior is not None,
        allow=allowed,
        h=path,
    )
    problem = problem_of(path, allowed)
    card = checkpoint.read_card(path)
    same_units(card, window)
    drawn_by = sampler or (sampler_of(card) if steps is None else DPMSolver(steps=steps))
    recipe = DEFT(path, drawn_by)
    recipe.allow = allowed
    method = recipe.build("alarm", network, problem)
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
    truth, _ = inputs.images(found, limit)
    if len(truth) < FEWEST:
        raise InvalidInput(
            "--images",
            given=f"{len(truth)} images",
            expected=f"{FEWEST} or more, for 5 % false alarms",
            advice="give more images" if limit is None else "give more, or a larger --limit",
        )
    with locked(out):
        claims.claim(
            out / "alarm.json",
            {
                "h": of_file(path),
                "images": fingerprint(truth),
                "prior": network.identity(),
                "sampler": describe(drawn_by),
                "samples": samples,
                "seed": seed,
            },
            "this reference",
        )
        known = measured(
            network,
            method,
            problem,
            truth,
            out,
            samples=samples,
            seed=seed,
            noise_images=noise_images,
            batch_size=batch_size,
        )
        noted(path, out / "h.safetensors", {"alarm": known.card()})
    misfit = known.rows(samples)[0][:, 0].mul(0.5).exp()
    print(
        f"reference of {known.images} images x {samples} samples in {out / 'h.safetensors'}: "
        f"misfit {float(misfit.quantile(0.025)):.3g} to {float(misfit.quantile(0.975)):.3g}"
    )
