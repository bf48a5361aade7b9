"""What Genie costs at its full size, on a CPU: seconds and memory of one step.

    python benchmarks/genie_size.py [--out benchmarks/results/protein/genie_size.json] [--repeats 3]

The network of the published `scope_l_128` (4,087,574 parameters) with random weights, which do not
change what a step costs; one chain of 128 residues, one thread. CPU seconds, the median of the
repeats after one that is not counted; memory is what the process grew by at its peak. Each kind of
step runs in a process of its own:

    denoise    one evaluation
    gradient   one evaluation and the gradient of the motif's residual through it (a DPS step)
    sample     one step of DDIM with a learned h of 9 %
    train      one training step of that h: loss, backward, clip, AdamW
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

import deft
from deft.htransforms.backbone import BackboneHTransform
from deft.networks.genie import GenieNetwork, Sizes
from deft.priors.genie import GeniePrior
from deft.problems.motif import MotifScaffolding
from deft.storage import provenance
from deft.training.chains import Chains
from deft.training.denoising import DenoisingScoreMatching

LENGTH, FRACTION = 128, 0.09
KINDS = ("denoise", "gradient", "sample", "train")


def chain() -> torch.Tensor:
    """A random walk with bonds of 3.8 angstrom."""
    step = torch.randn(LENGTH, 3, generator=torch.Generator().manual_seed(0))
    return (3.8 * torch.nn.functional.normalize(step, dim=-1)).cumsum(0)


def made() -> tuple[GeniePrior, BackboneHTransform, MotifScaffolding, deft.Observation]:
    """The prior, an h-transform of a share of its size, and a motif."""
    torch.manual_seed(0)
    prior = GeniePrior(GenieNetwork(Sizes()))
    h = BackboneHTransform.for_prior(prior, fraction=FRACTION)
    problem = MotifScaffolding(sigma_y=0.1)
    x_0 = chain()
    return prior, h, problem, problem.draw((x_0 - x_0.mean(0))[None], deft.Noise([0]))


def step(kind: str) -> Callable[[], object]:
    """One step of a kind, ready to be run."""
    prior, h, problem, observation = made()
    x_t, t = 5 * torch.randn(1, LENGTH, 3), torch.tensor([0.5])

    def denoise() -> object:
        with torch.no_grad():
            return prior.denoise(x_t, t)

    def gradient() -> object:
        posterior = deft.Posterior(prior, deft.DPS(1.0), observation)
        return posterior.denoise(x_t, t)

    def sample() -> object:
        posterior = deft.Posterior(prior, h.eval(), observation)
        return deft.DDIM(1, eta=1.0)(posterior, 1, seed=0)

    objective, source = DenoisingScoreMatching(problem), Chains([chain()], prior)
    optimiser = torch.optim.AdamW(h.parameters(), 1e-3)

    def train() -> object:
        loss = objective.loss(h.train(), prior, source.batch([0], deft.Noise([0])))
        loss.value.mean().backward()
        torch.nn.utils.clip_grad_norm_(h.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        return loss

    return {"denoise": denoise, "gradient": gradient, "sample": sample, "train": train}[kind]


def worker(kind: str, repeats: int) -> dict[str, float]:
    """Seconds of a step, and by how many MiB the process grew."""
    torch.set_num_threads(1)
    run = step(kind)
    before, seconds = _peak(), []
    for _ in range(1 + repeats):
        start = time.process_time()
        run()
        seconds.append(time.process_time() - start)
    return {
        "seconds": round(statistics.median(seconds[1:]), 3),
        "grew_by_mib": round(_peak() - before, 1),
    }


def _peak() -> float:
    """The most memory that the process had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Run each kind, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--worker", choices=KINDS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        print(json.dumps(worker(given.worker, given.repeats)))
        return
    prior, h, _, _ = made()
    found: dict[str, object] = {
        "prior": {
            "parameters": prior.num_parameters,
            "weights_mib": round(4 * prior.num_parameters / 2**20, 1),
        },
        "h": {"parameters": h.num_parameters, "fraction": h.num_parameters / prior.num_parameters},
        "chain": {"residues": LENGTH, "batch": 1},
        "threads": 1,
    }
    for kind in KINDS:
        command = [sys.executable, __file__, "--worker", kind, "--repeats", str(given.repeats)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found[kind] = json.loads(done.stdout.splitlines()[-1])
        print(kind, found[kind], flush=True)
    found["provenance"] = {
        "commit": provenance.commit(),
        "command": provenance.command(),
        "versions": provenance.versions(),
        "machine": provenance.machine("cpu"),
    }
    if given.out:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
