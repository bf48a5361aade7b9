"""A network of your own that knows protein backbones, as a prior that samples around a motif.

    python examples/own_backbone.py

The network here, `Network`, stands for yours: it predicts the noise in C-alpha traces (batch,
residues, 3) in angstrom, told the log-SNR and which residues exist. It is small and is trained
here, in seconds, on random walks with bonds of 3.8 angstrom, so that nothing is downloaded.
`CallableBackbone` makes it a prior; its chains have the length that they are given. The motif is a
piece of a walk that the network has not seen, known up to a rotation and a translation.

A network of Genie's kind is told the entry of its table and frames of x_t beside the positions:

    def predicts_noise(x_t, k, mask):
        return my_genie(frames(x_t, mask), k, mask).noise

    prior = deft.CallableBackbone(
        predicts_noise, table, max_length=128, scale=8.0, told="index", centred=False, padded=True
    )
"""

from __future__ import annotations

import argparse

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import deft

BOND, LONGEST, MOTIF = 3.8, 24, 8  # angstrom, residues, residues
SCALE = 8.5  # angstrom, the standard deviation of a coordinate of the walks
SCHEDULE = deft.VPCosine(log_snr_min=-10, log_snr_max=8)


class Network(nn.Module):
    """Your network: x_t, the log-SNR and the mask of a batch of chains -> the noise in x_t.

    It starts from the noise of a white Gaussian, and learns what that leaves over as a sum of the
    vectors to the nearest residues along the chain, so that it turns with the chain.
    """

    def __init__(self, width: int = 64, reach: int = 4) -> None:
        super().__init__()
        self.reach = reach
        self.enter = nn.Conv1d(2 * reach + 2, width, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Conv1d(width, width, 3, padding=2**k, dilation=2**k) for k in (0, 1, 2)
        )
        self.leave = nn.Conv1d(width, 2 * reach, 1)

    def forward(self, x_t: Tensor, log_snr: Tensor, mask: Tensor) -> Tensor:
        n, exists = x_t.shape[1], mask[..., None].float()
        alpha, sigma = (torch.sigmoid(s * log_snr).sqrt()[:, None, None] for s in (1, -1))
        spread = (SCALE**2 * alpha**2 + sigma**2).sqrt()
        x, there = (F.pad(v, (0, 0, self.reach, self.reach)) for v in (x_t, exists))
        places = [k for k in range(2 * self.reach + 1) if k != self.reach]
        towards = torch.stack([(x[:, k : k + n] - x_t) * there[:, k : k + n] for k in places], 1)
        far = towards.norm(dim=-1) / (BOND * alpha + sigma)
        level = torch.cat([log_snr[:, None, None] / 10, sigma], 1).expand(-1, -1, n)
        h = self.enter(torch.cat([far, level], 1))
        for block in self.blocks:
            h = h + F.silu(block(h)) * exists.mT
        step = towards / (BOND * alpha + sigma)[..., None]
        more = (self.leave(h)[..., None] * step).sum(1)
        return sigma / spread**2 * x_t + SCALE * alpha / spread * more


def walks(n: int, length: int, generator: torch.Generator) -> Tensor:
    """Random walks with steps of 3.8 angstrom that never turn back sharply."""
    step = torch.randn(n, length, 3, generator=generator)
    for k in range(1, length):
        step[:, k] = F.normalize(step[:, k], dim=-1) + F.normalize(step[:, k - 1], dim=-1)
    x = (BOND * F.normalize(step, dim=-1)).cumsum(1)
    return x - x.mean(1, keepdim=True)


def trained(steps: int) -> Network:
    """The network after some steps of least squares on the noise."""
    torch.manual_seed(0)
    network, generator = Network(), torch.Generator().manual_seed(0)
    optimiser = torch.optim.Adam(network.parameters())
    rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, 5e-3, total_steps=steps)
    mask = torch.ones(64, LONGEST, dtype=torch.bool)
    for _ in range(steps):
        x_0, t = walks(64, LONGEST, generator), torch.rand(64, generator=generator)
        eps = torch.randn(x_0.shape, generator=generator)
        eps = eps - eps.mean(1, keepdim=True)
        alpha, sigma = SCHEDULE.alpha(t)[:, None, None], SCHEDULE.sigma(t)[:, None, None]
        error = network(alpha * x_0 + sigma * eps, SCHEDULE.log_snr(t), mask) - eps
        loss = ((1 + (sigma / (SCALE * alpha)) ** 2) * error.square()).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        rate.step()
    return network


def main(training: int = 600, samples: int = 16, steps: int = 50) -> dict[str, float]:
    """Designs with and without the motif; returns their RMSD to it and their bonds, in angstrom."""
    prior = deft.CallableBackbone(
        trained(training),
        SCHEDULE,
        LONGEST,
        scale=SCALE,
        prediction="epsilon",
        told="log_snr",
        name="walks",
    ).of_length(20)  # shorter than the walks of its training

    seen = walks(1, MOTIF, torch.Generator().manual_seed(1))
    operator = deft.operators.AlignedMotif(torch.arange(6, 6 + MOTIF)[None], None, 20)
    observation = deft.Observation(seen, deft.GaussianLikelihood(operator, 0.1))
    posterior = deft.Posterior(prior, deft.DPS.published(0.5), observation)

    sampler, found = deft.DDIM(steps, eta=1.0), {}
    for name, of in (("without", prior), ("with", posterior)):
        designs = sampler(of, samples, seed=0)[0]
        residual = operator.residual(designs, seen.expand(samples, -1, -1))
        bonds = designs.diff(dim=1).norm(dim=-1)
        found[name] = float(residual.square().sum(-1).mean(-1).sqrt().mean())
        found[f"bonds {name}"] = float((bonds - BOND).square().mean().sqrt())
        print(
            f"{name:8} the motif: RMSD to it {found[name]:.2f}, bonds off by "
            f"{found[f'bonds {name}']:.2f} angstrom, over {samples} designs"
        )
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--training", type=int, default=600)
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--steps", type=int, default=50)
    arguments = parser.parse_args()
    main(arguments.training, arguments.samples, arguments.steps)
