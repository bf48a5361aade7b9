"""How sure a CT reconstruction is: mean and standard deviation of posterior samples from 60 views,
in half a minute on one core and without a download.

    python examples/ct.py

The slices are drawn from the prior, so that the example needs no data, and the truth is known.
Prior and h-transform are those that ship (for research, not for clinical use). With your own slices
in HU,

    x_0 = 2 * (hu.clamp(-1000, 1500) + 1000) / 2500 - 1  # (n, 1, 128, 128)
"""

from __future__ import annotations

import argparse
from pathlib import Path

import deft
from deft.priors import zoo
from deft.problems import from_card
from deft.training import checkpoint, places

SOFT_TISSUE = (-0.36, 0.04)  # -200 to 300 HU
LARGEST = 0.08  # 100 HU


def main(slices: int = 2, samples: int = 16, steps: int = 20, out: str = "outputs/ct.png") -> float:
    """Measure, sample, save a picture; returns the error of the mean over the standard
    deviation, which is 1 where samples spread as they should.
    """
    prior = zoo.load("ct-128", precision="auto")
    h, card = checkpoint.load(places.located("h-ct-128-views-60"), prior)
    problem = from_card(card["problem"])
    sampler = deft.DPMSolver(steps)

    truth = sampler(prior, slices, seed=5)[0].clamp(-1, 1)
    observation = problem.draw(truth, deft.Noise(range(slices)))
    drawn = sampler(
        deft.Posterior(prior, h.eval(), observation), num_samples=samples, seed=0
    ).clamp(-1, 1)  # (slices, samples, 1, 128, 128)

    mean, spread = drawn.mean(1), drawn.std(1)
    error, fbp = (mean - truth).abs(), observation.operator.lift(observation.y)
    quality = [float(deft.metrics.psnr(x, truth, data_range=2.0).mean()) for x in (fbp, mean)]
    ratio = float(error.square().mean().sqrt() / spread.square().mean().sqrt())
    print(
        f"PSNR of FBP {quality[0]:.1f} dB, of the mean {quality[1]:.1f} dB; error of the mean / "
        f"standard deviation {ratio:.2f}"
    )

    def grey(x):
        return deft.reports.figure.picture(x.numpy(), SOFT_TISSUE)

    def heat(x):
        return deft.reports.figure.heat(x[0].numpy(), LARGEST)

    rows = [
        [
            grey(truth[i]),
            grey(fbp[i]),
            grey(drawn[i, 0]),
            grey(drawn[i, 1]),
            grey(mean[i]),
            heat(error[i]),
            heat(spread[i]),
        ]
        for i in range(slices)
    ]
    columns = [
        "truth",
        "back-projection",
        "sample",
        "another",
        "mean",
        "its error",
        "standard deviation",
    ]
    sheet = deft.reports.figure.grid(rows, columns, scale=1)
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    Path(out).write_bytes(deft.reports.figure.png(sheet))
    print(f"wrote {out}")
    return ratio


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--slices", type=int, default=2)
    parser.add_argument("--samples", type=int, default=16)
    arguments = parser.parse_args()
    main(arguments.slices, arguments.samples)
