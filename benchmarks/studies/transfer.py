"""Other geometries without training again: what was learned for one problem, on measurements of
others.

    python benchmarks/studies/transfer.py benchmarks/quality/ct.yaml --data CT_FOLDER \\
        --h runs/h-ct --regression runs/regression-ct --out runs/transfer-ct

The section `transfer` of the YAML file names the problem of the h-transform and of the regression,
and the geometries that neither has seen. An h-transform reads the operator (g, the likelihood's
pull, with the angles as they are), regression only its filtered back-projection. Each geometry
leaves `OUT/NAME/results.json`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from deft.problems import from_card
from deft.samplers.ddim import DDIM
from deft.studies.evaluation import evaluate
from deft.studies.kept import read_results
from deft.studies.method import Method
from deft.training import checkpoint

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from classical import BackProjection, Regressed, Regression
from setting import Setting


def main() -> None:
    """Evaluate every geometry, and print PSNR and SSIM of the means."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--h", type=Path, required=True, help="the folder of learned h-transforms")
    parser.add_argument(
        "--regression", type=Path, required=True, help="the folder of benchmarks/regression.py"
    )
    args, setting = Setting.of(parser)
    config, prior, plan = setting.config, setting.prior, setting.config["transfer"]
    trained, steps = plan["trained"], plan["steps"]
    test = setting.images(config["test"]["split"], plan["images"])
    h, _ = checkpoint.load(args.h / f"{trained}.safetensors", prior)
    network, _ = Regression.read(args.regression / f"{trained}.safetensors", prior)
    methods = [
        Method("FBP", None, BackProjection()),
        Method(f"Regression of {trained}", None, Regressed(network)),
        Method(
            f"DEFT-{steps} of {trained}",
            h,
            DDIM(steps, eta=config["deft"]["eta"], grid=setting.grid),
        ),
    ]
    print("| geometry | method | PSNR of the mean (dB) | SSIM of the mean | misfit of a sample |")
    print("| --- | --- | ---: | ---: | ---: |")
    for name in plan["problems"]:
        problem, folder = from_card(plan["problems"][name]), args.out / name
        evaluate(
            prior,
            problem,
            test,
            methods,
            out=folder,
            samples=plan["samples"],
            seed=config["seed"],
            clip=config.get("clip", False),
        )
        for method in read_results(folder)["methods"]:
            cells = (
                f"{m['value']:.3f} ± {m['standard_error']:.3f}"
                for m in (method["summary"][k] for k in ("psnr_mean", "ssim_mean", "misfit"))
            )
            print(f"| {name} | {method['label']} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
