"""How often phase retrieval succeeds: the share of images whose PSNR exceeds 25 dB after alignment,
by one sample and by the best of all by misfit.

    python benchmarks/success.py benchmarks/quality/digits-nonlinear.yaml --data DIGITS --out \\
        runs/quality-digits-nonlinear --problem phase-0.05

reads the samples that `benchmarks/quality.py` left in `--out`, and scores beside them the classical
inverse, hybrid input-output of so many starts (`--starts`). The measurement cannot tell aligned
samples from those that were drawn. A success of one sample is a mean over samples and images; the
best by misfit is chosen without the truth. Standard errors are over images.
"""

from __future__ import annotations

import argparse

import torch
from setting import Setting

from deft.metrics.image import misfit, psnr
from deft.noise import Noise
from deft.problems import from_card
from deft.storage.table import modern
from deft.studies.estimate import Estimate
from deft.studies.kept import read_results, read_samples

THRESHOLD = 25.0


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--problem", required=True)
    parser.add_argument(
        "--starts", type=int, nargs="*", default=[1, 4, 16], help="of hybrid input-output alone"
    )
    parser.add_argument(
        "--images",
        type=int,
        help="the first so many images alone, so that methods are compared on the same ones",
    )
    args, setting = Setting.of(parser)
    plan, folder = setting.config, args.out / args.problem
    test = setting.images(
        plan["test"]["split"], min(plan["test"]["count"], args.images or plan["test"]["count"])
    )
    observation = setting.observation(args.problem, test)
    print("| method | images | one sample | best of all by misfit | median PSNR of the best (dB) |")
    print("| --- | ---: | ---: | ---: | ---: |")
    card = modern(plan["problems"][args.problem])
    for starts in args.starts:
        operator = (
            from_card(card | {"args": card["args"] | {"restarts": starts}})
            .draw(test[:1], Noise([0]))
            .operator
        )
        found = psnr(operator.align(operator.lift(observation.y).clamp(-1.0, 1.0), test), test, 2.0)
        share = Estimate.mean((found > THRESHOLD).double().tolist())
        name = f"hybrid input-output, {starts} start{'s' if starts > 1 else ''}"
        print(
            f"| {name} | {len(test)} | {share.value:.2f} ± {share.standard_error:.2f} | – | "
            f"{found.median():.2f} |"
        )
    for method in read_results(folder)["methods"]:
        single, best, levels = [], [], []
        for i, aligned in enumerate(read_samples(folder, method["label"], len(test))):
            here = observation.take([i] * len(aligned))
            found = psnr(aligned.float(), test[i : i + 1].expand_as(aligned), 2.0)
            chosen = int(misfit(aligned.float(), here).argmin())
            single.append(float((found > THRESHOLD).float().mean()))
            best.append(float(found[chosen] > THRESHOLD))
            levels.append(float(found[chosen]))
        shares = " | ".join(
            f"{e.value:.2f} ± {e.standard_error:.2f}" for e in map(Estimate.mean, (single, best))
        )
        print(
            f"| {method['label']} | {len(single)} | {shares} | "
            f"{torch.tensor(levels).median():.2f} |"
        )


if __name__ == "__main__":
    main()
