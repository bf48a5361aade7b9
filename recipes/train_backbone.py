"""Train the prior `backbone-128` on C-alpha backbones.

    python recipes/train_backbone.py ca_backbones.npz --motifs MOTIFS --out runs/backbone

    x_t = x_0 + sigma eps,    sigma from 0.02 to 160 angstrom, eps with mean zero over the residues
    loss = || C^{-1/2} (x_0 - y) - F ||^2 / n,    y = W x_t,  C = S sigma^2 / (S + sigma^2)

y is the Wiener filter of a Gaussian chain and C what it leaves over, so that
the target has unit variance in every mode and at every noise level for a Gaussian chain. The
weights are positive: the minimiser is the posterior mean.
ln sigma is normal about ln 1.5 with a standard deviation of 1.1 in 70 % of the draws, where
helices, strands, handedness and contacts are decided, and uniform over the range in the others; the
draws of a batch are stratified.

The run saves its state every minute and goes on from it; batches are functions of the step. It logs
the denoising error of held-out chains by noise level beside the Gaussian chain's, and what samples
look like.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from functools import partial
from pathlib import Path

import backbone_samples
import numpy as np
import torch
from backbone_data import LENGTHS, Batches, Chains, padded, read, split
from torch import Tensor, nn

from deft.priors.equivariant_backbone import EquivariantBackbone
from deft.schedules import VE

SIGMA = (0.02, 160.0)
LEVELS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)


def untrained(**sizes: int) -> EquivariantBackbone:
    """The prior before anything was learned."""
    return EquivariantBackbone(128, VE(*SIGMA), min_length=LENGTHS[0], name="backbone-128", **sizes)


def exists(lengths: list[int], n: int) -> Tensor:
    """Which of n places each chain has a residue at."""
    return torch.arange(n) < torch.tensor(lengths)[:, None]


def estimate(prior: EquivariantBackbone, x_t: Tensor, sigma: Tensor, lengths: list[int]) -> Tensor:
    """x_0_hat at these noise levels."""
    mask = exists(lengths, x_t.shape[1])
    return prior.given(mask=mask).denoise(x_t, prior.schedule.time(-2 * sigma.log()))


def levels(count: int, generator: torch.Generator) -> Tensor:
    """sigma of a batch."""
    low, high = np.log(SIGMA)
    strata = torch.randperm(count, generator=generator) + torch.rand(count, generator=generator)
    u = strata / count
    normal = np.log(1.5) + 1.1 * torch.special.ndtri((u / 0.7).clamp(1e-4, 1 - 1e-4))
    chosen = torch.where(u < 0.7, normal, low + (high - low) * (u - 0.7) / 0.3)
    return chosen.clamp(low, high).exp()


def loss_of(prior: EquivariantBackbone, x_0: Tensor, lengths: list[int], step: int) -> Tensor:
    """The loss of one batch, with the noise of this step."""
    generator = torch.Generator().manual_seed(step)
    sigma = levels(len(x_0), generator)
    x_t = x_0 + sigma[:, None, None] * torch.randn(x_0.shape, generator=generator)
    mask, t = exists(lengths, x_0.shape[1]), prior.schedule.time(-2 * sigma.log())
    y, colour, noise = prior.filtered(x_t, t, mask)
    target = prior.whitened(x_0 - y, t, mask)
    per_chain = (prior.correction(y, colour, noise, mask) - target).square().sum((1, 2))
    return (per_chain / (3 * torch.tensor(lengths))).mean()


@torch.no_grad()
def errors(prior: EquivariantBackbone, chains: list[np.ndarray]) -> dict[str, list[float]]:
    """Root mean squared error per residue in angstrom at LEVELS, of the prior and of the filter."""
    found: dict[str, list[float]] = {"sigma": list(LEVELS), "prior": [], "gaussian": []}
    for sigma in LEVELS:
        total = np.zeros(2)
        for start in range(0, len(chains), 16):
            some = chains[start : start + 16]
            lengths = [len(x) for x in some]
            x_0 = padded(some, max(lengths))
            mask = exists(lengths, max(lengths))
            generator = torch.Generator().manual_seed(start)
            x_t = x_0 + sigma * prior.projected(torch.randn(x_0.shape, generator=generator), mask)
            level = torch.full((len(some),), sigma)
            t = prior.schedule.time(-2 * level.log())
            for k, found_here in enumerate(
                (estimate(prior, x_t, level, lengths), prior.filtered(x_t, t, mask)[0])
            ):
                total[k] += float((found_here - x_0).square().sum())
        residues = sum(len(x) for x in chains)
        found["prior"].append(float(np.sqrt(total[0] / residues)))
        found["gaussian"].append(float(np.sqrt(total[1] / residues)))
    return found


def held_out(chains: Chains, count: int = 64) -> list[np.ndarray]:
    """Whole chains of at most 128 residues, in the order of their lengths."""
    fit = [x for x, w in zip(chains.coordinates, chains.weights) if len(x) <= 128 and w == 1.0]
    return sorted(fit[:count], key=len)


def main() -> None:
    """Train until the time is up."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="ca_backbones.npz")
    parser.add_argument("--motifs", type=Path, help="folder of the benchmark's motif files")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=80.0, help="of the whole run")
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--width", type=int, default=96)
    parser.add_argument("--blocks", type=int, default=4)
    parser.add_argument("--pair", type=int, default=32)
    parser.add_argument("--pairs", type=int, default=50_000, help="of residues in a batch")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    if not args.data.is_file():
        parser.error(f"{args.data} is no file; see the top of recipes/backbone_data.py")
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    args.out.mkdir(parents=True, exist_ok=True)
    parts = split(read(args.data), args.motifs, args.out / "left_out.json")
    batches, checked = Batches(parts["train"], pairs=args.pairs), held_out(parts["val"])
    sizes = {"width": args.width, "blocks": args.blocks, "pair": args.pair}
    prior = untrained(**sizes)
    state_file = args.out / "state.pt"
    optimiser = torch.optim.AdamW(
        prior.network.parameters(), lr=args.learning_rate, betas=(0.9, 0.99), weight_decay=1e-2
    )
    step, spent = 0, 0.0
    if state_file.exists():
        state = torch.load(state_file, weights_only=True)
        prior.load_state_dict(state["prior"])
        optimiser.load_state_dict(state["optimiser"])
        step, spent = state["step"], state["seconds"]
    average = copy.deepcopy(prior).requires_grad_(False)
    if state_file.exists():
        average.load_state_dict(state["average"])
    print(
        f"{sum(p.numel() for p in prior.network.parameters())} parameters, "
        f"{len(parts['train'].ids)} chains, from step {step}",
        flush=True,
    )

    def save() -> None:
        kept = {
            "prior": prior.state_dict(),
            "average": average.state_dict(),
            "optimiser": optimiser.state_dict(),
            "step": step,
            "seconds": spent,
            "sizes": sizes,
        }
        torch.save(kept, state_file.with_suffix(".tmp"))
        state_file.with_suffix(".tmp").replace(state_file)

    def note(kind: str, **what: object) -> None:
        line = json.dumps({"kind": kind, "step": step, "seconds": round(spent), **what})
        print(line, flush=True)
        with (args.out / "log.jsonl").open("a") as file:
            file.write(line + "\n")

    budget, begin, before = 60 * args.minutes, time.time(), spent
    logged = begin
    looked = begin - 600
    running: list[float] = []
    while spent < budget:
        x_0, lengths = batches.draw(np.random.default_rng(step))
        loss = loss_of(prior, x_0, lengths, step)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(prior.network.parameters(), 1.0)
        fall = min(1.0, 1.25 * (1 - spent / budget)) * (1 - 0.02) + 0.02
        for group in optimiser.param_groups:
            group["lr"] = args.learning_rate * min((step + 1) / 200, 1.0) * fall
        optimiser.step()
        step += 1
        decay = min(0.999, (1 + step) / (20 + step))
        with torch.no_grad():
            for a, p in zip(average.network.parameters(), prior.network.parameters()):
                a.lerp_(p, 1 - decay)
        running.append(loss.item())
        now = time.time()
        spent = before + now - begin
        if now - logged > 60:
            note("loss", loss=float(np.mean(running)))
            running, logged = [], now
            save()
        if now - looked > 900:
            looked = now
            note("errors", **errors(average, checked))
            note("samples", **backbone_samples.look(partial(estimate, average), parts["val"]))
    save()
    note("errors", **errors(average, checked))
    note("samples", **backbone_samples.look(partial(estimate, average), parts["val"]))


if __name__ == "__main__":
    main()
