"""`deft sample`."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from deft.commands import inputs
from deft.commands.inputs import Convert, Fit, Range, Window
from deft.commands.methods import DEFT, MethodRecipe
from deft.data import atomic, write_npz, write_png
from deft.errors import InvalidInput, at_least_one
from deft.likelihoods import Observation
from deft.noise import Noise, mix
from deft.priors import resolve
from deft.priors.base import Prior
from deft.problems import Problem, from_card
from deft.reports import figure
from deft.samplers.base import Sampler
from deft.samplers.dpm_solver import DPMSolver
from deft.training import checkpoint

HELP = {
    "out": "where samples go; the same command goes on from what is there",
    "h": "a learned h-transform: the run folder of deft train, its h.safetensors, or the name of one that ships (deft list)",
    "method": "in place of --h, another method: Unconditional, DPS, DDNMPlus, Given (deft list --kind methods)",
    "prior": "as in deft train; default: the one on the card of --h",
    "problem": "default: the one on the card of --h",
    "measurements": "what was measured: an npy or npz file, or a folder of npy files or images",
    "masks": "for inpainting: PNG files with the names of the measurements, or one for all; white where observed",
    "sigma_y": "the standard deviation of the noise in --measurements, in the prior's range; default: the problem's",
    "images": "in place of --measurements: clean images, which are measured first",
    "samples": "per image",
    "sampler": "default: DPMSolver with --steps",
    "steps": "evaluations of the prior per sample, for the default sampler",
    "limit": "the first few images only",
    "batch_size": "signals denoised at once; changes no result",
    **inputs.IMAGE_HELP,
}


def run(
    out: Path,
    h: Path | None = None,
    method: MethodRecipe | None = None,
    prior: str | None = None,
    problem: Problem | None = None,
    measurements: Path | None = None,
    masks: Path | None = None,
    sigma_y: float | None = None,
    images: Path | None = None,
    samples: int = 8,
    sampler: Sampler | None = None,
    steps: int = 20,
    seed: int = 0,
    batch_size: int = 64,
    limit: int | None = None,
    convert: Convert | None = None,
    fit: Fit | None = None,
    value_range: Range | None = None,
    window: Window | None = None,
    strict: bool = False,
    *,
    resolved: str = "",
) -> None:
    """Draw posterior samples for measurements, or for clean images that are measured first.

    Writes for each image NAME.npz (samples, mean, std, y), and PNG files: NAME-mean, NAME-std, NAME-samples; for TwistedSMC also NAME-weights.json.
    """
    if (h is None) == (method is None):
        raise InvalidInput("say how to condition: either --h FILE, or --method such as DPS.")
    if (measurements is None) == (images is None):
        raise InvalidInput("say what to condition on: either --measurements, or --images with a problem.")
    at_least_one({"--samples": samples, "--batch_size": batch_size, "--limit": limit})
    h = None if h is None else checkpoint.located(h)
    network = resolve.load(prior) if prior else resolve.load(_on_card(h), fetch=False)  # what a file names is not downloaded
    problem = problem or _problem(h)
    recipe = method or DEFT(h, sampler or DPMSolver(steps=steps), any_problem=False)  # type: ignore[arg-type]
    chosen = recipe.build("samples", network, problem)
    truth: Tensor | None = None
    if images is not None:
        found = inputs.opened(
            images, network, convert=convert, fit=fit, value_range=value_range, strict=strict, window=window, problem=problem
        )
        truth, names = inputs.images(found, limit)
        observed = problem.draw(truth, Noise([mix(seed, 4, i) for i in range(len(truth))]))
    else:
        observed, names = inputs.observation(
            measurements,  # type: ignore[arg-type]
            network,
            problem,
            masks=masks,
            sigma_y=sigma_y,
            convert=convert,
            value_range=value_range,
            strict=strict,
        )
        names = names[:limit]
        for i, name in enumerate(names):
            if not bool(torch.isfinite(observed.y[i]).all()):
                raise InvalidInput(f"the measurement {name} holds NaN or infinite values; mend it, or take it away.")
    chosen.check(network, observed.to(network.device))
    inputs.claim(out, resolved, "samples", free=("batch_size", "limit", "config"))
    seeds = [mix(seed, 5, i) for i in range(len(names))]
    left = [i for i, name in enumerate(names) if not (out / f"{name}.npz").exists()]
    if len(left) < len(names):
        print(f"{len(names) - len(left)} of {len(names)} images are done already")
    with tqdm(total=len(names), initial=len(names) - len(left), unit="image", desc="sampling", dynamic_ncols=True) as bar:
        size = max(1, batch_size // chosen.sampler.signals(samples))
        for start in range(0, len(left), size):
            chunk = left[start : start + size]
            part = observed.take(chunk).to(network.device)
            drawn = chosen.sampler.draw(chosen.posterior(network, part), samples, seed=[seeds[i] for i in chunk], batch_size=batch_size)
            for k, i in enumerate(chunk):
                if drawn.weights:
                    _write_weights(out, names[i], drawn.weights[k])
                _write(out, names[i], drawn.x_0[k].cpu(), observed.take([i]), network, None if truth is None else truth[i])
            bar.update(len(chunk))
    print(f"{len(names)} x {samples} samples in {out}")


def _on_card(h: Path | None) -> str:
    if h is None:
        raise InvalidInput("say which prior: --prior NAME.")
    card = checkpoint.read_card(h)
    if not isinstance(card.get("prior_from"), str):
        raise InvalidInput(f"the card of {h} does not say where its prior {card['prior']} comes from; give --prior.")
    return str(card["prior_from"])


def _problem(h: Path | None) -> Problem:
    card = checkpoint.read_card(h).get("problem") if h is not None else None
    if not isinstance(card, dict):
        raise InvalidInput("say what is measured: --problem, such as --problem Inpainting --problem.sigma_y 0.05.")
    return from_card(card)


def _write(out: Path, name: str, samples: Tensor, observed: Observation, prior: Prior, truth: Tensor | None) -> None:
    mean = samples.mean(0)
    std = samples.std(0) if len(samples) > 1 else torch.zeros_like(mean)
    if samples.ndim == 4 and samples.shape[1] in (1, 3):
        value_range = prior.value_range or (float(samples.min()), float(samples.max()))
        write_png(out / f"{name}-mean.png", mean, value_range)
        shown = figure.heat(np.asarray(std.square().mean(0).sqrt()), float(std.max()) or 1.0)
        _write_bytes(out / f"{name}-std.png", figure.png(shown))
        row = [figure.picture(np.asarray(x), value_range) for x in ([truth] if truth is not None else [])]
        measured = figure.picture(np.asarray(observed.operator.lift(observed.y)[0]), value_range)
        row.append(figure.hatch(measured, np.asarray(observed.operator.coverage(mean[None])[0])))
        row += [figure.picture(np.asarray(x), value_range) for x in samples]
        row += [figure.picture(np.asarray(mean), value_range), shown]
        titles = [
            *(["truth"] if truth is not None else []),
            "measurement",
            *(f"sample {j + 1}" for j in range(len(samples))),
            "mean",
            "std",
        ]
        sheet = figure.grid([row], titles, scale=figure.enlargement(tuple(samples.shape[1:])))
        _write_bytes(out / f"{name}-samples.png", figure.png(sheet))
    arrays = {"samples": samples, "mean": mean, "std": std, "y": observed.y[0]} | ({} if truth is None else {"truth": truth})
    write_npz(out / f"{name}.npz", arrays)


def _write_weights(out: Path, name: str, card: Mapping[str, object]) -> None:
    _write_bytes(out / f"{name}-weights.json", json.dumps(card, indent=1, allow_nan=False).encode())
    if card["collapsed"]:
        warnings.warn(
            f"{name}: the weights collapsed (effective sample size below 2); its samples and log p(y) are not to be trusted.", stacklevel=2
        )


def _write_bytes(path: Path, content: bytes) -> None:
    with atomic(path) as file:
        file.write(content)
