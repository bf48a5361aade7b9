"""DEFT for a prior behind a closed API: another process holds the weights, and answers questions.

    python examples/closed_api.py

1. The client has neither weights nor gradients, and draws the samples that the owner of the prior
   would draw.
2. The server is killed in mid-training, and started again: training goes on, and ends with the
   weights of a run that was left alone.
3. A bank of stored answers trains h-transforms for three operators with a sixth of the calls; half
   as many steps more, which cost no call, make the loss no higher.

Training images are drawn from the prior itself, so that the example needs no data.
"""

from __future__ import annotations

import argparse
import os
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import torch

import deft
from deft.noise import mix
from deft.priors.remote import RemotePrior
from deft.training.bank import Bank
from deft.training.sources import Images

TOKEN = secrets.token_urlsafe()
PROBLEMS = {
    "inpainting": deft.problems.Inpainting(masks="freeform", sigma_y=0.05),
    "super-resolution": deft.problems.SuperResolution(factor=4, sigma_y=0.05),
    "deblurring": deft.problems.Deblurring(sigma_y=0.05),
}


class Server:
    """`deft serve-prior` as a process of its own, which can be killed and started again."""

    def __init__(self, name: str, port: int = 0) -> None:
        self.name = name
        command = [sys.executable, "-m", "deft.cli", "serve-prior", "--prior", name]
        self.process = subprocess.Popen(
            [*command, "--port", str(port)],
            env={**os.environ, "DEFT_TOKEN": TOKEN},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().split()[-1]
        self.port = int(self.url.rpartition(":")[2])

    def stop(self) -> None:
        """End it as Ctrl-C would."""
        self.process.terminate()
        self.process.wait()

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.wait()


def main(
    steps: int = 60,
    images: int = 128,
    evaluations: int = 10,
    batch_size: int = 16,
    prior_name: str = "digits-32",
    validation: int = 256,
) -> dict[str, float]:
    """Runs all three parts; returns what they measured."""
    torch.set_num_threads(1)
    local = deft.priors.load(prior_name)  # the owner's, for comparison: the client never sees it
    server = Server(prior_name)
    try:
        prior = RemotePrior(server.url, token=TOKEN, patience=300)
        found = {"difference": samples(prior, local)}
        clean = deft.DPMSolver(evaluations)(prior, images, seed=1)[0].clamp(-1, 1)
        server, found["difference_after_a_kill"] = killed(server, prior, local, clean)
        found |= bank(prior, clean, steps, batch_size, validation)
        print(f"the server counted {prior.served()}; the client {prior.counts}")
    finally:
        server.stop()
    return found


def samples(prior: RemotePrior, local: deft.Prior) -> float:
    """Part 1: the largest difference between the client's samples and the owner's."""
    assert not list(prior.parameters())
    observation = PROBLEMS["inpainting"].draw(
        torch.zeros(2, *prior.event_shape), deft.Noise([0, 1])
    )
    try:
        deft.Posterior(prior, deft.DPS(1.0), observation)
    except deft.errors.PriorNotDifferentiable as error:
        print(f"no gradients: {error}")
    h, sampler = untrained(prior), deft.DPMSolver(5)
    here, there = (sampler(deft.Posterior(p, h, observation), 2, seed=0) for p in (prior, local))
    difference = float((here - there).abs().max())
    print(f"samples differ from the local ones by at most {difference:.1e}")
    return difference


def killed(
    server: Server, prior: RemotePrior, local: deft.Prior, clean: torch.Tensor
) -> tuple[Server, float]:
    """Part 2: the server that was started again, and how far the weights are from those of a run
    with the prior at hand.
    """
    again: list[Server] = []
    at = prior.counts.calls + 5

    def kill() -> None:
        while prior.counts.calls < at:
            time.sleep(0.01)
        server.kill()
        print("the server was killed")
        again.append(Server(server.name, server.port))
        print("the server is back")

    thread = threading.Thread(target=kill)
    thread.start()
    weights = []
    for one in (prior, local):
        h = untrained(prior)
        with tempfile.TemporaryDirectory() as folder:
            train(h, one, PROBLEMS["inpainting"], clean, 10, 4, out=folder)
        weights.append(torch.cat([p.detach().flatten() for p in h.parameters()]))
    thread.join()
    difference = float((weights[0] - weights[1]).abs().max())
    print(f"weights differ from those of a local run by at most {difference:.1e}")
    return again[0], difference


def bank(
    prior: RemotePrior, clean: torch.Tensor, steps: int, batch_size: int, validation: int
) -> dict[str, float]:
    """Part 3: calls for three operators, by asking in every step and by a bank of a sixth as many
    answers, and the ratio of the losses on the same held-out draws.
    """
    part = len(clean) // 4
    held_out, training = Images(clean[:part], prior), clean[part:]
    with tempfile.TemporaryDirectory() as folder:
        judge = Bank.build(prior, held_out, validation, seed=1, out=Path(folder) / "judge")
        before = prior.counts.signals
        direct = {name: untrained(prior) for name in PROBLEMS}
        for name, problem in PROBLEMS.items():
            train(direct[name], prior, problem, training, steps, batch_size)
        asked = prior.counts.signals - before
        stored = Bank.build(prior, Images(training, prior), asked // 6, out=Path(folder) / "bank")
        by_bank = prior.counts.signals - before - asked
        ratios, errors = [], []
        for name, problem in PROBLEMS.items():
            h = untrained(prior)
            train(h, prior, problem, stored, 3 * steps // 2, batch_size)
            a, b = (losses(one, prior, problem, judge) for one in (h, direct[name]))
            ratio = float(a.mean() / b.mean())
            error = float((a - ratio * b).std() / len(a) ** 0.5 / b.mean())
            none = float(losses(untrained(prior), prior, problem, judge).mean())
            print(
                f"{name}: loss {a.mean():.4f} with the bank, {b.mean():.4f} without, "
                f"{none:.4f} untrained; ratio {ratio:.3f} (standard error {error:.3f})"
            )
            ratios.append(ratio)
            errors.append(error)
        assert prior.counts.signals == before + asked + by_bank  # no call in training by the bank
    fewer = asked / by_bank
    print(f"evaluations of the prior: {asked} without the bank, {by_bank} with it: 1/{fewer:.1f}")
    loss, error = sum(ratios) / 3, sum(e**2 for e in errors) ** 0.5 / 3
    return {"fewer_calls": fewer, "loss_ratio": loss, "standard_error": error}


def untrained(prior: deft.Prior) -> deft.LearnedHTransform:
    """An h-transform, the same in each call."""
    torch.manual_seed(0)
    return deft.LearnedHTransform.for_prior(prior, fraction=0.03)


def train(h, prior, problem, images, steps, batch_size, out=None) -> None:  # type: ignore[no-untyped-def]
    deft.train(
        h,
        prior,
        deft.DenoisingScoreMatching(problem),
        images,
        steps=steps,
        batch_size=batch_size,
        learning_rate=2e-3,
        ema=0.95,
        out=out,
        progress=False,
    )


@torch.no_grad()
def losses(h, prior, problem, judge: Bank) -> torch.Tensor:  # type: ignore[no-untyped-def]
    """The loss of each held-out draw, on the same measurements for every h."""
    objective, found = deft.DenoisingScoreMatching(problem), []
    for start in range(0, len(judge), 64):
        places = range(start, min(start + 64, len(judge)))
        noise = deft.Noise([mix(3, k) for k in places])
        found.append(objective.loss(h, prior, judge.batch(list(places), noise)).value)
    return torch.cat(found)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--validation", type=int, default=256)
    arguments = parser.parse_args()
    main(arguments.steps, arguments.images, validation=arguments.validation)
