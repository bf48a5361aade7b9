"""What the end of a schedule costs: how far the law that a sampler starts from is from the prior's
own.

    python benchmarks/studies/starting_law.py --out benchmarks/results/mixture

    p_1 = sum_k w_k N(alpha_1 mu_k, (alpha_1^2 s_k^2 + sigma_1^2) I)      against      N(0, I)

A sampler that starts from N(0, I) samples, at best, the law of which N(0, I) is the noising: total
variation only falls along a Markov process, so that what is there at t = 1 bounds from above what
reaches t = 0, and no h repairs it, since h is that of the prior. Measured on the mixtures of
benchmarks/mixture_setting.py for the schedules that people use and for the one of the setting, and
on the same mixtures in units of a component, as they were published: total variation,
E_{p_1}[max(0, 1 - N(x; 0, I) / p_1(x))], by 100,000 draws of p_1, and alpha_1 max |mu|.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path

import torch
from torch import Tensor

from deft.noise import Noise, mix
from deft.priors.gaussian_mixture import GaussianMixture
from deft.schedules import VPCosine, VPLinear
from deft.storage import provenance
from deft.storage.atomic import atomic
from deft.studies.estimate import Estimate

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from mixture_setting import DOUBLE, Cell, component_width

DRAWS, PART, ONE = 100_000, 10_000, torch.ones(1, dtype=DOUBLE)
SCHEDULES = {
    "linear betas, 0.1 to 20": VPLinear(),
    "cosine, log-SNR -9.5 to 9.5": VPCosine(-9.5, 9.5),
}


def priors(d: int) -> dict[str, GaussianMixture]:
    """By the units of the signal and the schedule."""
    own = Cell(d, 1).prior()
    means, weights = own.means[0] / component_width(own), own.log_weights[0].exp()
    wide = {
        name: GaussianMixture(means, torch.ones(25, dtype=DOUBLE), weights, schedule)
        for name, schedule in SCHEDULES.items()
    }
    return {
        **{f"unit covariance, {name}": prior for name, prior in wide.items()},
        **{
            f"standardised, {name}": Cell(d, 1).prior(schedule)
            for name, schedule in SCHEDULES.items()
        },
        "standardised, schedule of the setting": own,
    }


def reach(prior: GaussianMixture) -> float:
    """alpha_1 max |mu|."""
    return float(prior.schedule.alpha(ONE) * prior.means[0].norm(dim=1).max())


def total_variation(prior: GaussianMixture, seed: int) -> Estimate:
    """Between N(0, I) and the prior's law at t = 1."""
    alpha_1, sigma_1 = prior.schedule.alpha(ONE), prior.schedule.sigma(ONE)

    def excess(part: int) -> Tensor:
        noise = Noise([mix(seed, part, i) for i in range(PART)], dtype=DOUBLE)
        x_1 = alpha_1 * prior.sample(noise.stream(0)) + sigma_1 * noise.normal(1, prior.event_shape)
        standard = -x_1.square().sum(1) / 2 - x_1.shape[1] / 2 * math.log(2 * math.pi)
        return 1 - (standard - prior.log_prob(x_1, ONE.expand(PART))).exp().clamp(max=1)

    return Estimate.mean(torch.cat([excess(part) for part in range(DRAWS // PART)]).tolist())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--dims", type=int, nargs="*", default=[8, 80, 800])
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    rows = []
    for d in args.dims:
        for name, prior in priors(d).items():
            found = total_variation(prior, d)
            rows.append(
                {
                    "d": d,
                    "prior": name,
                    "alpha_1_max_mu": reach(prior),
                    "total_variation": found.value,
                    "error": found.standard_error,
                }
            )
            print(
                d,
                name,
                f"alpha_1 max |mu| {reach(prior):.3f}, total variation {found.value:.4f} +- "
                f"{found.standard_error:.4f}",
                flush=True,
            )
    with atomic(args.out / "starting-law.json") as stream:
        stream.write(
            (
                json.dumps({"draws": DRAWS, "commit": provenance.commit(), "rows": rows}, indent=1)
                + "\n"
            ).encode()
        )


if __name__ == "__main__":
    main()
