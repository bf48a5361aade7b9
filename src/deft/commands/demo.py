"""`deft demo`: h-transforms fine-tuned on a frozen prior, compared with other methods on one
page.
"""

from __future__ import annotations

import os
import sys
import time
import webbrowser
from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from deft.commands import inputs, methods, photographs, priors
from deft.commands.demo_plan import PROBLEMS, SIGMA_Y, Plan, planned
from deft.commands.inputs import Convert, Fit
from deft.commands.priors import Labels
from deft.commands.train import untrained
from deft.errors import InvalidInput, at_least_one
from deft.htransforms.base import HTransform
from deft.priors import zoo
from deft.priors.base import Prior
from deft.problems import Problem
from deft.reports.evaluation import evaluate
from deft.reports.method import Method
from deft.reports.page import style_sheet, write_report
from deft.reports.table import results_table
from deft.reports.words import number
from deft.samplers.ddim import DDIM
from deft.samplers.grids import UniformLogSNR
from deft.storage import claims
from deft.storage.atomic import atomic
from deft.storage.fingerprint import fingerprint, of_file
from deft.storage.lock import locked
from deft.training import chain, checkpoint
from deft.training.denoising import DenoisingScoreMatching
from deft.training.loop import train

EXAMPLE = "deft demo --minutes 8"
HELP = {
    "prior": "a prior that ships, a file, a diffusers folder or a hub id",
    "images": "your own images, a folder; default: photographs that ship with scikit-image",
    "out": "where everything goes; the same command goes on from what is there",
    "minutes": "how long it may take; the number of training steps and of test images follows",
    "quick": "a few steps only, to see that it runs; the results mean nothing",
    "fraction": "the h-transform's parameters as a share of the prior's, where none ships for "
    "this prior",
    "samples": "per test image and method",
    "open_report": "open the page in a browser where there is a display",
    "convert": "turn your images to 'rgb' or 'grey'",
    "fit": "how your images come to the prior's size",
    **priors.HELP,
}

MOST_MINUTES = 10_000.0  # a week
ZETA = {
    "inpainting": 1.0,
    "super-resolution": 1.0,
}  # of DPS: a round value, which the page names; benchmarks tune it


def run(
    prior: str = "natural-64",
    images: Path | None = None,
    out: Path = Path("demo"),
    minutes: float = 8.0,
    quick: bool = False,
    fraction: float = 0.05,
    samples: int = 4,
    seed: int = 0,
    open_report: bool = True,
    convert: Convert | None = None,
    fit: Fit | None = "resize",
    labels: Labels | None = None,
    subfolder: str | None = None,
    schedule: str | None = None,
    prediction_type: str | None = None,
    *,
    resolved: str = "",
) -> None:
    """Fine-tune a small h-transform on a frozen prior for inpainting and for super-resolution, and
    compare it with DPS and DDNM+.

    Works offline with what ships; --prior and --images do the same with your own. The result is one
    page, OUT/report.html.
    """
    if not 0 < minutes <= MOST_MINUTES:
        raise InvalidInput(
            "minutes", given=minutes, expected=f"a number above 0 and at most {MOST_MINUTES:,.0f}"
        )
    if not 0 < fraction <= 1:
        raise InvalidInput(
            "fraction",
            given=fraction,
            expected="a share of the prior's parameters above 0 and at most 1",
            advice="0.05 is the usual one",
        )
    at_least_one({"samples": samples})
    begin = time.monotonic()
    inputs.apart(out, images)
    network = priors.opened(prior, labels, subfolder, schedule, prediction_type)
    print(
        f"DEFT demo. Prior: {network.name}, {network.num_parameters:,} parameters, frozen. "
        f"Everything goes into {out}.",
        flush=True,
    )
    data, held_out, test = (
        _photographs(network, seed, 64 if quick else 1600)
        if images is None
        else _own(images, network, convert, fit)
    )
    start = {name: _start(network, name) for name in PROBLEMS}
    with locked(out):
        claims.claim_yaml(out, resolved, "deft demo", free=("open_report", "config"))
        claims.claim(
            out / "content.json",
            _content(network, start, (data, held_out, test)),
            "deft demo",
            update=True,
        )
        plan = planned(out, network, data, fraction, samples, minutes, quick)
        test = test[: plan.test_images]
        _announce(network, plan, start, data, test, samples, images)

        pages = {}
        for name, problem in PROBLEMS.items():
            h_transform, card = _learn(
                out / name,
                network,
                name,
                problem,
                start[name],
                data,
                held_out,
                plan,
                prior,
                fraction,
                seed,
            )
            print(
                f"{name}: drawing samples for {number(len(test), 'test image')} with four methods",
                flush=True,
            )
            compared = _methods(network, name, problem, h_transform, card, plan)
            results = evaluate(
                network, problem, test, compared, out=out / name, samples=samples, seed=seed
            )
            write_report(
                out / name,
                introduction=_told([start[name]], images),
                warning=_warning(prior, quick),
                training={"DEFT": out / name},
                card=card,
            )
            print(results_table(results).markdown(), flush=True)
            pages[name] = results
        page = _index(
            out, network, pages, _told(list(start.values()), images), _warning(prior, quick)
        )
    print(f"done in {(time.monotonic() - begin) / 60:.1f} minutes. Open {page.resolve()}")
    if open_report and _has_display():
        webbrowser.open(page.resolve().as_uri())


def _content(
    prior: Prior, start: Mapping[str, Path | None], images: Sequence[Tensor]
) -> dict[str, object]:
    """By hash, what the demo is made from: a prior, a file or images that were changed since are
    another demo.
    """
    return {
        "prior": fingerprint(prior.identity()),
        "images": fingerprint(*images),
        "start": {name: None if path is None else of_file(path) for name, path in start.items()},
    }


def _photographs(prior: Prior, seed: int, count: int) -> tuple[Tensor, Tensor, Tensor]:
    train_crops = photographs.crops(photographs.TRAIN, count, prior.event_shape, seed)
    held_out = photographs.crops(photographs.VALIDATION, 64, prior.event_shape, seed + 1)
    return (
        train_crops,
        held_out,
        photographs.crops(photographs.TEST, 16, prior.event_shape, seed + 2, smallest=0.5),
    )


def _own(
    folder: Path, prior: Prior, convert: Convert | None, fit: Fit | None
) -> tuple[Tensor, Tensor, Tensor]:
    found, _ = inputs.images(
        inputs.opened(folder, prior, convert=convert, fit=fit, value_range=None, strict=False)
    )
    if len(found) < 8:
        raise InvalidInput(
            f"{folder} holds {len(found)} images; the demo needs at least 8, of which a part is "
            "kept for the test."
        )
    order = torch.randperm(len(found), generator=torch.Generator().manual_seed(0))
    kept = max(2, min(16, len(found) // 8))
    return found[order[2 * kept :]], found[order[kept : 2 * kept]], found[order[:kept]]


def _start(prior: Prior, name: str) -> Path | None:
    """An h-transform that ships for this prior and problem."""
    path = zoo.FOLDER / f"h-{prior.name}-{name}.safetensors"
    if not path.exists():
        return None
    theirs = checkpoint.read_card(path).get("prior")
    return (
        path
        if isinstance(theirs, Mapping) and theirs.get("hash") == prior.identity()["hash"]
        else None
    )


def _announce(
    prior: Prior,
    plan: Plan,
    start: Mapping[str, Path | None],
    data: Tensor,
    test: Tensor,
    samples: int,
    images: Path | None,
) -> None:
    where = (
        "crops of photographs that ship with scikit-image"
        if images is None
        else f"images of {images}"
    )
    begins = [
        f"{name}: {path.stem}, which ships" if path else f"{name}: from scratch"
        for name, path in start.items()
    ]
    print(
        f"This takes about {max(plan.seconds / 60, 0.5):.1f} minutes here:\n"
        "  1. an h-transform for free-form inpainting and one for 4x super-resolution, sigma_y = "
        f"{SIGMA_Y}: {plan.training_steps} steps of "
        f"{plan.batch_size} on {len(data)} {where} ({'; '.join(begins)})\n"
        f"  2. {number(samples, 'sample')} of {number(len(test), 'test image')} with: the prior "
        f"alone, DPS ({plan.dps_steps} steps), DDNM+ ({plan.ddnm_steps}), DEFT "
        f"({plan.deft_steps})\n"
        "  3. a page with pictures and numbers\n"
        "Ctrl-C stops; the same command goes on.",
        flush=True,
    )


def _learn(
    out: Path,
    prior: Prior,
    name: str,
    problem: Problem,
    start: Path | None,
    data: Tensor,
    held_out: Tensor,
    plan: Plan,
    source: str,
    fraction: float,
    seed: int,
) -> tuple[HTransform, dict[str, object]]:
    path = out / "h.safetensors"
    if path.exists():
        print(f"{name}: the h-transform is there already, {path}")
        return checkpoint.load(path, prior, problem=problem)
    h_transform: HTransform = (
        untrained(prior, fraction, seed) if start is None else checkpoint.load(start, prior)[0]
    )
    size = sum(p.numel() for p in h_transform.parameters())
    print(
        f"{name}: training {size:,} parameters, {100 * size / max(prior.num_parameters, 1):.1f} % "
        "of the prior's",
        flush=True,
    )
    rate = 2e-3 if start is None else 3e-4
    result = train(
        h_transform,
        prior,
        DenoisingScoreMatching(problem),
        data,
        steps=plan.training_steps,
        batch_size=plan.batch_size,
        learning_rate=rate,
        ema=0.98,
        validation=held_out,
        validation_draws=len(held_out),
        validate_every=max(plan.training_steps // 3, 1),
        seed=seed,
        out=out,
        save_every=50,
        log_every=max(plan.training_steps // 40, 1),
    )
    metrics = None if result.validation is None else result.validation.card()
    before = {} if start is None else chain.facts(start, result.seconds)
    training = {
        **result.facts(),
        **before,
        "batch_size": plan.batch_size,
        "started_from": start.stem if start else "scratch",
    }
    checkpoint.save(
        path,
        h_transform,
        prior,
        {"prior_from": source, "problem": problem.card(), "training": training, "metrics": metrics},
    )
    return h_transform, checkpoint.read_card(path)


def _sampler(plan: Plan) -> DDIM:
    """Ancestral steps, even in log-SNR: on validation images ahead of the ODE solvers, which pass
    on every error of a small prior.
    """
    return DDIM(steps=plan.deft_steps, eta=1.0, grid=UniformLogSNR(8.0))


def _methods(
    prior: Prior, name: str, problem: Problem, h: HTransform, card: Mapping[str, object], plan: Plan
) -> list[Method]:
    return [
        methods.Unconditional(_sampler(plan)).build("Prior alone", prior, problem),
        methods.DPS(zeta=ZETA[name], steps=plan.dps_steps).build("DPS", prior, problem),
        methods.DDNMPlus(steps=plan.ddnm_steps).build("DDNM+", prior, problem),
        Method("DEFT", h, _sampler(plan), training_seconds=chain.seconds(card)),
    ]


def _told(starts: Sequence[Path | None], images: Path | None) -> str:
    """Where the h-transforms and the images came from."""
    shipped = [start.stem for start in starts if start is not None]
    begun = (
        f"It started from {' and '.join(shipped)}, which "
        f"{'ships' if len(shipped) == 1 else 'ship'} with the library, and was fine-tuned here."
        if shipped
        else "It was trained here from scratch."
    )
    where = (
        "The test images are crops of chelsea.png of scikit-image; crops of astronaut, coffee and "
        "rocket trained."
        if images is None
        else f"A part of the images in {images} was kept for the test."
    )
    return f"DEFT: a small network beside the frozen prior. {begun} {where}"


def _warning(prior: str, quick: bool) -> str:
    if quick:
        return (
            "Made with --quick: a few steps only, to see that it runs. The pictures and the "
            "numbers mean nothing."
        )
    gate = zoo.card(prior).get("gate") if prior in zoo.names() else None
    if not isinstance(gate, Mapping) or gate.get("passed"):
        return ""
    return (
        f"The prior {prior} is below its gate (deft inspect {prior}): read the comparison as a "
        "demonstration, not as a result."
    )


def _index(
    out: Path, prior: Prior, pages: Mapping[str, Mapping[str, Any]], told: str, warning: str
) -> Path:
    """One page over both problems, self-contained; the full reports are beside it."""
    parts = [f"<h1>DEFT demo: {escape(prior.name)}</h1>"]
    parts += [f'<p class="finding warning">{escape(warning)}</p>'] if warning else []
    parts.append(f"<p>{escape(told)}</p>")
    for name, results in pages.items():
        picture = b64encode((out / name / "comparison.png").read_bytes()).decode()
        parts.append(f"<h2>{escape(name.capitalize())}</h2>")
        parts.append(
            f'<figure><img alt="{escape(name)}" style="max-width:100%" '
            f'src="data:image/png;base64,{picture}"></figure>'
        )
        parts.append(f"<figure>{results_table(results).html()}</figure>")
        parts.append(
            f'<p><a href="{name}/report.html">The full report: samples, spread, curves, card, how '
            "to reproduce</a></p>"
        )
    body = "\n".join(parts)
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
        'content="width=device-width, initial-scale=1">'
        "<title>DEFT "
        f"demo</title><style>{style_sheet()}</style></head><body><main>\n{body}\n</main></body></html>\n"
    )
    with atomic(out / "report.html") as file:
        file.write(page.encode())
    return out / "report.html"


def _has_display() -> bool:
    if os.environ.get("CI") or not sys.stdout.isatty():
        return False
    return sys.platform in ("darwin", "win32") or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )
