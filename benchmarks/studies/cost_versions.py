"""What a step costs in two versions of the library, in forwards of the prior.

    python benchmarks/studies/cost_versions.py --before OTHER_CHECKOUT/src \\
        --out benchmarks/results/cost_versions.json [--repeats 5]

Both versions are measured in one run, in processes of their own that take turns. A sampling step is
one of DDIM(eta=1) with a learned h-transform of 9 %, a training step one of `deft.train`; CPU
seconds, one thread, over one forward of the prior in the same process.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

PRIORS = {"digits-32": 32, "natural-64": 8}  # and the batch
STEPS = 20


def worker() -> None:
    """The costs in the version that is imported here, as JSON."""
    import torch

    import deft

    torch.set_num_threads(1)
    found = {}
    for name, batch in PRIORS.items():
        prior = deft.priors.load(name)
        problem = deft.problems.Inpainting("box", sigma_y=0.05)
        h = deft.LearnedHTransform.for_prior(prior, fraction=0.09)
        images = torch.rand(batch, *prior.event_shape) * 2 - 1
        observation = problem.draw(images, deft.Noise(range(batch)))
        posterior = deft.Posterior(prior, h.eval(), observation)
        t = torch.full((1,), 0.5)

        def forward(prior=prior, images=images, t=t):
            with torch.no_grad():
                for _ in range(STEPS):
                    prior.denoise(images, t)

        def sample(posterior=posterior):
            deft.DDIM(STEPS, eta=1.0)(posterior, 1, seed=0)

        def train(h=h, prior=prior, problem=problem, images=images, batch=batch):
            objective = deft.DenoisingScoreMatching(problem)
            given = {"steps": STEPS, "batch_size": batch, "progress": False}
            deft.train(h, prior, objective, images, **given)

        def seconds(run):
            start = time.process_time()
            run()
            return time.process_time() - start

        for run in (forward, sample, train):
            run()
        alone = seconds(forward)
        found[name] = {"sampling": seconds(sample) / alone, "training": seconds(train) / alone}
    print(json.dumps(found))


def main() -> None:
    """Take turns, and compare the medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", type=Path, help="the folder src of the other version")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        worker()
        return
    if given.before is None or given.out is None:
        parser.error("give --before, the folder src of the version to compare with, and --out")
    sources = {"before": given.before, "now": Path(__file__).parents[2] / "src"}
    runs: dict[str, list[dict]] = {side: [] for side in sources}
    for turn in range(given.repeats):
        for side, source in sources.items() if turn % 2 == 0 else reversed(sources.items()):
            environment = {
                **os.environ,
                "PYTHONPATH": str(source.resolve()),
                "OMP_NUM_THREADS": "1",
            }
            said = subprocess.run(
                [sys.executable, __file__, "--worker"],
                env=environment,
                capture_output=True,
                text=True,
                check=True,
            )
            runs[side].append(json.loads(said.stdout.splitlines()[-1]))
    table = {
        name: {
            kind: {
                side: round(statistics.median(run[name][kind] for run in runs[side]), 3)
                for side in sources
            }
            for kind in ("sampling", "training")
        }
        for name in PRIORS
    }
    given.out.write_text(json.dumps({"repeats": given.repeats, "costs": table}, indent=1) + "\n")
    for name, costs in table.items():
        for kind, sides in costs.items():
            print(f"{name} {kind}: {sides['before']} before, {sides['now']} now")


if __name__ == "__main__":
    main()
