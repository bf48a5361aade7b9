"""`deft demo`: h-transforms fine-tuned on a frozen prior, compared with other methods on one
page.
"""

from __future__ import annotations

import time
import webbrowser
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from deft.commands import inputs, methods, priors
from deft.commands.demo_images import own_images, photograph_crops
from deft.commands.demo_page import demo_page, introduction, warning_of
from deft.commands.demo_plan import PROBLEMS, SIGMA_Y, Plan, planned
from deft.commands.demo_training import learned, shipped_start
from deft.commands.display import has_display
from deft.commands.inputs import Convert, Fit
from deft.commands.priors import Labels
from deft.errors import InvalidInput, at_least_one
from deft.htransforms.base import HTransform
from deft.priors.base import Prior
from deft.priors.details import Details
from deft.problems import Problem
from deft.reports.page import write_report
from deft.reports.table import results_table
from deft.samplers.ddim import DDIM
from deft.samplers.grids import UniformLogSNR
from deft.storage import claims
from deft.storage.fingerprint import fingerprint, of_file
from deft.storage.lock import locked
from deft.studies.evaluation import evaluate
from deft.studies.method import Method
from deft.studies.words import number
from deft.training import chain

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
    details: Details | None = None,
    context: Path | None = None,
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
    network = priors.opened(
        prior, labels, subfolder, schedule, prediction_type, details=details, context=context
    )
    inputs.no_chains(network)
    print(
        f"DEFT demo. Prior: {network.name}, {network.num_parameters:,} parameters, frozen. "
        f"Everything goes into {out}.",
        flush=True,
    )
    data, held_out, test = (
        photograph_crops(network, seed, 64 if quick else 1600)
        if images is None
        else own_images(images, network, convert, fit)
    )
    start = {name: shipped_start(network, name) for name in PROBLEMS}
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
            h_transform, card = learned(
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
                introduction=introduction([start[name]], images),
                warning=warning_of(prior, quick),
                training={"DEFT": out / name},
                card=card,
            )
            print(results_table(results).markdown(), flush=True)
            pages[name] = results
        page = demo_page(
            out,
            network,
            pages,
            introduction(list(start.values()), images),
            warning_of(prior, quick),
        )
    print(f"done in {(time.monotonic() - begin) / 60:.1f} minutes. Open {page.resolve()}")
    if open_report and has_display():
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
