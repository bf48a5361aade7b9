"""Whether posteriors are as wide as their errors: ranks, coverage and CRPS of DEFT, DDNM+ and DPS.

    python benchmarks/calibration.py benchmarks/quality/digits.yaml --data DIGITS_FOLDER --h \\
        runs/h-digits --tuned runs/quality-digits --out runs/calibration-digits
        [--only box-0.05 sr4-0.05] [--images 2000] [--samples 40] [--ddnm-images 40] \\
        [--dps-images 6] [--truth data prior] [--precision auto]
    python benchmarks/calibration.py ... --choose [--images 30]

Entries whose posterior standard deviation exceeds 0.05, and 50 random linear functionals; central
intervals of 50, 80 and 95 %. Twice: with x_0 from the test set, where errors of the prior count,
and with x_0 drawn from the prior itself (100 steps of DPM-Solver++), where only those of h and of
the sampler do. Test images have 8 bits and most of their entries are exactly black, so that they
and their samples are both rounded to 256 levels, as any image file would be, and equal ones are
ties: what holds for signals holds for any function of them, and ranks of atoms against samples that
smear them mean nothing. Draws of the prior are taken as they are. What the other way gives stands
beside it (`unrounded`, `rounded`). Still the prior smears black and white over a few levels, which
matters least where the spread is large: `entries, spread above 0.2`.

`--choose` compares samplers of DEFT on validation images; `calibration` in the YAML file is what it
chose. Zeta of DPS and eta of DDNM+ are those that `benchmarks/quality.py` tuned. Samples are kept
in parts; the same command goes on from where it was stopped, with more images too. The prior
computes in the precision that is faster on the machine unless `--precision` says which (the kept
values: bf16).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from quality import ddnm_plus, dps
from safetensors.torch import load_file
from setting import Setting, drawn, keep
from torch import Tensor
from tqdm import tqdm

from deft.htransforms.base import HTransform
from deft.likelihoods import Observation
from deft.metrics.calibration import (
    Coverage,
    RankHistogram,
    coverage,
    crps,
    linear_functionals,
    rank_histogram,
    ranks,
    uncertain,
)
from deft.noise import Noise, mix
from deft.posterior import Posterior
from deft.priors.base import Prior
from deft.priors.precision import settled
from deft.reports.calibration import coverage_chart, rank_chart
from deft.reports.chart import as_file
from deft.samplers.base import Sampler
from deft.samplers.ddim import DDIM
from deft.samplers.dpm_solver import DPMSolver
from deft.storage import provenance
from deft.storage.atomic import atomic
from deft.studies.estimate import Estimate
from deft.training import checkpoint

THRESHOLD, FUNCTIONALS = 0.05, 50


def samples_of(
    prior: Prior,
    h: HTransform,
    sampler: Sampler,
    observation: Observation,
    count: int,
    folder: Path,
    label: str,
) -> Tensor:
    """(observations, count, *event), drawn ten observations at a time."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = []
    for start in tqdm(range(0, len(observation), 10), desc=label):
        path = folder / f"{start:05d}.safetensors"
        if not path.exists():
            index = range(start, min(start + 10, len(observation)))
            posterior = Posterior(prior, h, observation.take(index))
            x_0 = sampler(posterior, count, seed=[mix(8, i) for i in index], batch_size=100)
            keep(path, x_0.half())
        parts.append(load_file(path)["x_0"].float())
    return torch.cat(parts)


def eight_bits(signals: Tensor) -> Tensor:
    """The nearest of 256 levels in [-1, 1]."""
    return ((signals.clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1


def measured(samples: Tensor, truth: Tensor, rounded: bool) -> dict[str, Any]:
    """Coverage and ranks over uncertain entries and over linear functionals, both rounded to
    eight bits or not, and beside it the other way; the CRPS over all entries.
    """
    pair = (samples, truth)
    pairs = {False: pair, True: tuple(map(eight_bits, pair))}
    samples, truth = pairs[rounded]
    count, where = samples.shape[1], uncertain(samples, truth, THRESHOLD)
    parts = {}
    for is_main in (True, False):
        these, suffix = (
            pairs[rounded == is_main],
            "" if is_main else ", unrounded" if rounded else ", rounded",
        )
        parts[f"entries{suffix}"] = (ranks(*these), where)
        parts[f"functionals{suffix}"] = (ranks(*linear_functionals(*these, FUNCTIONALS)), None)
    parts["entries, spread above 0.2"] = (parts["entries"][0], uncertain(samples, truth, 0.2))
    score = Estimate.mean(crps(samples, truth).flatten(1).mean(1).tolist())
    return {
        "observations": len(truth),
        "share_of_uncertain_entries": float(where.float().mean()),
        "crps": {"value": score.value, "standard_error": score.standard_error},
        **{
            name: {
                "coverage": coverage(r, count, where=w).card(),
                "ranks": rank_histogram(r, count, where=w).card(),
            }
            for name, (r, w) in parts.items()
        },
    }


def deft(plan: Mapping[str, Any], name: str, source: str) -> dict[str, Sampler]:
    """The sampler of the file, for each problem: one for images, and one for the prior's own
    draws.
    """
    steps = plan["steps" if source == "data" else "steps_of_prior"][name]
    return {f"DEFT-{steps}": DPMSolver(steps)}


def candidates(setting: Setting, source: str) -> dict[str, Sampler]:
    """What `--choose` compares."""
    second = {
        f"DPMSolver-{n}": DPMSolver(n) for n in ((10, 20, 50) if source == "data" else (10, 14, 20))
    }
    if source == "prior":
        return dict(second)
    first = {
        f"DDIM-{n}-eta-{eta:g}": DDIM(n, eta=eta, grid=setting.grid)
        for n in (20, 100)
        for eta in (0.0, 1.0)
    }
    return {**second, **first}


def choose(
    setting: Setting, name: str, h: HTransform, source: str, images: int, samples: int, out: Path
) -> None:
    """Coverage of each sampler on validation images, or on draws of the prior that are not those
    of the measurement.
    """
    truth = (
        setting.images("val", images, start=100)
        if source == "data"
        else drawn(setting.prior, images, out, "choice-of-the-prior", 100, 17)
    )
    observation = setting.problem(name).draw(truth, Noise([mix(19, i) for i in range(len(truth))]))
    choice, results = f"{name}-choice" if source == "data" else f"{name}-prior-choice", {}
    for label, sampler in candidates(setting, source).items():
        drawn_by = samples_of(
            setting.prior, h, sampler, observation, samples, out / choice / label, f"{name} {label}"
        )
        results[label] = row = measured(drawn_by, truth, rounded=source == "data")
        print(
            choice,
            label,
            *(row[part]["coverage"]["values"] for part in ("entries", "functionals")),
            row["crps"]["value"],
            flush=True,
        )
    _write(
        out / f"{choice}.json",
        {
            "problem": name,
            "truth": source,
            "images": images,
            "samples": samples,
            "samplers": results,
        },
    )


def table(out: Path, names: Sequence[str]) -> str:
    """What is there, in Markdown: coverage of the intervals in per cent, of entries and of
    functionals, and the CRPS.
    """
    lines = [
        "| problem, x_0 from | method (observations) | entries: 50 % | 80 % | 95 % | functionals: "
        "50 % | 80 % | 95 % | CRPS |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for path in (out / f"{name}-{source}.json" for name in names for source in ("data", "prior")):
        found = json.loads(path.read_text()) if path.exists() else {"methods": {}}
        for label, row in found["methods"].items():
            shares = [Coverage(**row[part]["coverage"]) for part in ("entries", "functionals")]
            cells = [
                f"{100 * v:.1f} ± {100 * e:.1f}"
                for c in shares
                for v, e in zip(c.values, c.standard_errors)
            ]
            crps_of = f"{row['crps']['value']:.4f} ± {row['crps']['standard_error']:.4f}"
            lines.append(
                f"| {found['problem']}, {found['truth']} | {label} ({row['observations']}) | "
                + " | ".join([*cells, crps_of])
                + " |"
            )
    return "\n".join(lines)


def main() -> None:
    """Run the problems, one after the other."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--h", type=Path, required=True, help="the folder of learned h-transforms")
    parser.add_argument(
        "--tuned", type=Path, required=True, help="the folder that benchmarks/quality.py wrote"
    )
    parser.add_argument("--only", nargs="*", default=["box-0.05", "sr4-0.05"])
    parser.add_argument("--truth", nargs="*", default=["data", "prior"], choices=["data", "prior"])
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--samples", type=int, default=40)
    parser.add_argument(
        "--ddnm-images",
        type=int,
        default=40,
        help="the first so many of them; 0 leaves the method out",
    )
    parser.add_argument("--dps-images", type=int, default=6, help="likewise")
    parser.add_argument(
        "--precision",
        default="auto",
        choices=["fp32", "bf16", "auto"],
        help="of the prior's network; auto measures which is faster here",
    )
    parser.add_argument(
        "--choose",
        action="store_true",
        help="compare samplers of DEFT on validation images instead",
    )
    args, setting = Setting.of(parser)
    config, prior = setting.config, setting.prior
    prior.precision = precision = settled(prior, args.precision, args.out)
    for name in args.only:
        h = checkpoint.load(args.h / f"{name}.safetensors", prior)[0].eval()
        if args.choose:
            for source in args.truth:
                choose(setting, name, h, source, args.images, args.samples, args.out)
            continue
        zeta, eta = (
            json.loads((args.tuned / name / f"tuned-{which}.json").read_text())["best"]
            for which in ("dps", "ddnm")
        )
        steps, steps_of_ddnm = config["dps"]["steps"], config["ddnm_plus"]["steps"]
        for source in args.truth:
            methods: dict[str, tuple[HTransform, Sampler, int]] = {
                **{
                    label: (h, sampler, args.images)
                    for label, sampler in deft(config["calibration"], name, source).items()
                },
                f"DDNM+-{steps_of_ddnm}": (*ddnm_plus(prior, steps_of_ddnm, eta), args.ddnm_images),
                f"DPS-{steps}": (*dps(prior, steps, zeta), args.dps_images),
            }
            truth = (
                setting.images("test", args.images)
                if source == "data"
                else drawn(prior, args.images, args.out, "truth-of-the-prior", 100, 7)
            )
            observation = setting.problem(name).draw(
                truth, Noise([mix(9, i) for i in range(len(truth))])
            )
            folder, results = args.out / f"{name}-{source}", {}
            for label, (h_of, sampler, wanted) in methods.items():
                count = min(wanted, len(truth))
                if not count:
                    continue
                progress = f"{name} {source} {label}"
                samples = samples_of(
                    prior,
                    h_of,
                    sampler,
                    observation.take(range(count)),
                    args.samples,
                    folder / label,
                    progress,
                )
                results[label] = row = measured(samples, truth[:count], rounded=source == "data")
                print(
                    progress, row["entries"]["coverage"], row["functionals"]["coverage"], flush=True
                )
                for part in ("entries", "functionals"):
                    shown = {k: Coverage(**v[part]["coverage"]) for k, v in results.items()}
                    chart = coverage_chart(shown, title=f"{name}, x_0 from the {source}: {part}")
                    (folder / f"coverage-{part}.svg").write_text(as_file(chart))
                    histogram = RankHistogram(**row[part]["ranks"])
                    (folder / f"ranks-{part}-{label}.svg").write_text(
                        as_file(rank_chart(histogram, f"{label}, {part}"))
                    )
            card = {
                "problem": name,
                "truth": source,
                "prior": config["prior"],
                "precision": precision,
                "samples": args.samples,
            }
            _write(
                args.out / f"{name}-{source}.json",
                {**card, "commit": provenance.commit(), "methods": results},
            )
    print(table(args.out, args.only))


def _write(path: Path, content: Mapping[str, Any]) -> None:
    with atomic(path) as stream:
        stream.write((json.dumps(content, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
