"""Whether posteriors are as wide as their errors: ranks, coverage and CRPS of DEFT, DDNM+ and DPS.

    python benchmarks/calibration.py benchmarks/quality/digits.yaml --data DIGITS_FOLDER --h runs/h-digits --tuned runs/quality-digits --out runs/calibration-digits
        [--only box-0.05 sr4-0.05] [--images 2000] [--samples 40] [--dps-images 100] [--truth data prior]

Entries whose posterior standard deviation exceeds 0.05, and 50 random linear functionals; central intervals of 50, 80 and 95 %. Twice: with x_0 from the test set, where
errors of the prior count, and with x_0 drawn from the prior itself (200 steps of DPM-Solver++), where only those of h and of the sampler do. Zeta of DPS and eta of DDNM+ are those
that `benchmarks/quality.py` tuned. Samples are kept in parts; the same command goes on from where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch
from quality import ddnm_plus, dps
from safetensors.torch import load_file, save_file
from setting import Setting
from torch import Tensor
from tqdm import tqdm

from deft.data.files import atomic
from deft.htransforms.base import HTransform
from deft.likelihoods import Observation
from deft.metrics.calibration import Coverage, RankHistogram, coverage, crps, linear_functionals, rank_histogram, ranks, uncertain
from deft.noise import Noise, mix
from deft.posterior import Posterior
from deft.priors.base import Prior
from deft.reports import provenance
from deft.reports.calibration import coverage_chart, rank_chart
from deft.reports.chart import as_file
from deft.reports.estimate import Estimate
from deft.samplers.base import Sampler
from deft.samplers.ddim import DDIM
from deft.samplers.dpm_solver import DPMSolver
from deft.training import checkpoint

THRESHOLD, FUNCTIONALS = 0.05, 50


def drawn(prior: Prior, count: int, folder: Path) -> Tensor:
    """Signals of the prior, kept in a file."""
    path = folder / "truth-of-the-prior.safetensors"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        save_file({"x_0": DPMSolver(200)(prior, count, seed=7, batch_size=100, progress=True)[0].contiguous()}, path)
    return load_file(path)["x_0"][:count]


def samples_of(prior: Prior, h: HTransform, sampler: Sampler, observation: Observation, count: int, folder: Path, label: str) -> Tensor:
    """(observations, count, *event), drawn ten observations at a time."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = []
    for start in tqdm(range(0, len(observation), 10), desc=label):
        path = folder / f"{start:05d}.safetensors"
        if not path.exists():
            index = range(start, min(start + 10, len(observation)))
            posterior = Posterior(prior, h, observation.take(index))
            x_0 = sampler(posterior, count, seed=[mix(8, i) for i in index], batch_size=100)
            save_file({"x_0": x_0.half().contiguous()}, path.with_suffix(".partial"))
            path.with_suffix(".partial").replace(path)
        parts.append(load_file(path)["x_0"].float())
    return torch.cat(parts)


def measured(samples: Tensor, truth: Tensor) -> dict[str, object]:
    """Coverage and ranks over uncertain entries and over linear functionals; the CRPS over all entries."""
    count, where = samples.shape[1], uncertain(samples, truth, THRESHOLD)
    projected, true = linear_functionals(samples, truth, FUNCTIONALS)
    parts = {"entries": (ranks(samples, truth), where), "functionals": (ranks(projected, true), None)}
    score = Estimate.mean(crps(samples, truth).flatten(1).mean(1).tolist())
    return {
        "observations": len(truth),
        "share_of_uncertain_entries": float(where.float().mean()),
        "crps": {"value": score.value, "standard_error": score.standard_error},
        **{
            name: {"coverage": coverage(r, count, where=w).card(), "ranks": rank_histogram(r, count, where=w).card()}
            for name, (r, w) in parts.items()
        },
    }


def main() -> None:
    """Run the problems, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--h", type=Path, required=True, help="the folder of learned h-transforms")
    parser.add_argument("--tuned", type=Path, required=True, help="the folder that benchmarks/quality.py wrote")
    parser.add_argument("--only", nargs="*", default=["box-0.05", "sr4-0.05"])
    parser.add_argument("--truth", nargs="*", default=["data", "prior"], choices=["data", "prior"])
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--samples", type=int, default=40)
    parser.add_argument("--dps-images", type=int, default=100)
    args, setting = Setting.of(parser)
    config, prior = setting.config, setting.prior
    for name in args.only:
        h, _ = checkpoint.load(args.h / f"{name}.safetensors", prior)
        zeta, eta = (json.loads((args.tuned / name / f"tuned-{which}.json").read_text())["best"] for which in ("dps", "ddnm"))
        steps = config["dps"]["steps"]
        methods: dict[str, tuple[HTransform, Sampler, int]] = {
            **{
                f"DEFT-{n}": (h.eval(), DDIM(n, eta=config["deft"]["eta"], grid=setting.grid), args.images)
                for n in config["deft"]["steps"][:1]
            },
            f"DDNM+-{config['ddnm_plus']['steps']}": (*ddnm_plus(prior, config["ddnm_plus"]["steps"], eta), args.images),
            f"DPS-{steps}": (*dps(prior, steps, zeta), args.dps_images),
        }
        for source in args.truth:
            truth = setting.images("test", args.images) if source == "data" else drawn(prior, args.images, args.out)
            observation = setting.problem(name).draw(truth, Noise([mix(9, i) for i in range(len(truth))]))
            folder, results = args.out / f"{name}-{source}", {}
            for label, (h_of, sampler, count) in methods.items():
                begin = time.time()
                samples = samples_of(
                    prior, h_of, sampler, observation.take(range(count)), args.samples, folder / label, f"{name} {source} {label}"
                )
                row = measured(samples, truth[:count])
                results[label] = row | {"seconds": time.time() - begin}
                print(name, source, label, row["entries"]["coverage"], row["functionals"]["coverage"], flush=True)  # type: ignore[index]
                for part in ("entries", "functionals"):
                    shown = {k: Coverage(**v[part]["coverage"]) for k, v in results.items()}
                    (folder / f"coverage-{part}.svg").write_text(
                        as_file(coverage_chart(shown, title=f"{name}, x_0 from the {source}: {part}"))
                    )
                    histogram = RankHistogram(**row[part]["ranks"])  # type: ignore[index]
                    (folder / f"ranks-{part}-{label}.svg").write_text(as_file(rank_chart(histogram, f"{label}, {part}")))
            card = {"problem": name, "truth": source, "prior": config["prior"], "samples": args.samples, "commit": provenance.commit()}
            with atomic(args.out / f"{name}-{source}.json") as stream:
                stream.write((json.dumps({**card, "methods": results}, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
