"""Train the h-transform of motifs for the prior that ships.

    python recipes/train_scaffold.py ca_backbones.npz --motifs MOTIFS --out runs/h-motif \\
        --fraction 0.09 --steps 3000
    python recipes/train_scaffold.py ca_backbones.npz --motifs MOTIFS --out runs/amortised \\
        --from-scratch --steps 3000

The motifs are drawn from the training chains of the prior (`backbone_data.py`), whose clusters hold
no protein of a benchmark motif: in one piece of 8 to 24 residues, or in two to four islands of 1 to
20. The same chain is seen with other motifs and other noise each time. The run goes on from where
it was stopped, and writes OUT/h.safetensors with the loss on held-out chains by noise level.

With --from-scratch a network nine tenths as large as the prior is trained to denoise chains that it
is told the motif of, which is what an h-transform and a prior are together: conditional training
without a learned prior. It is the same class, on the Gaussian chain that the prior's preconditioner
is of.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from backbone_data import LENGTHS, Chains, read, split

from deft.htransforms.backbone import BackboneHTransform
from deft.priors import zoo
from deft.priors.chain_spectrum import ChainSpectrum
from deft.priors.equivariant_backbone import EquivariantBackbone
from deft.priors.gaussian_chain import GaussianChain
from deft.problems.motif import MotifScaffolding
from deft.storage import tensors
from deft.training import chains, checkpoint
from deft.training.denoising import DenoisingScoreMatching, TimeLaw
from deft.training.loop import train

LAW = TimeLaw(mean=0.0, std=2.5, uniform=0.25, low=-9.0, high=7.5)


def whole(found: Chains) -> list[torch.Tensor]:
    """The chains that the prior is of, one of each group of nearly equal ones."""
    return [
        torch.from_numpy(x)
        for x, weight in zip(found.coordinates, found.weights, strict=True)
        if LENGTHS[0] <= len(x) <= LENGTHS[1] and weight == 1.0
    ]


def of_chains(prior: EquivariantBackbone) -> GaussianChain:
    """The Gaussian chain that a prior that ships starts from."""
    spectrum = ChainSpectrum(*prior.spectrum.double().tolist())
    return GaussianChain(prior.max_length, spectrum=spectrum, schedule=prior.schedule)


def main() -> None:
    """Train, and write the h-transform with its card."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="ca_backbones.npz")
    parser.add_argument("--motifs", type=Path, help="folder of the benchmark's motif files")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--prior", default="backbone-128", help="a name, or a file")
    parser.add_argument("--initial", type=Path, help="an h to begin from")
    parser.add_argument(
        "--initial-is", default="weights learned before", help="what it is, for the card"
    )
    parser.add_argument("--fraction", type=float, default=0.09)
    parser.add_argument(
        "--weight", type=float, help="for the card, what deft scaffold multiplies by"
    )
    parser.add_argument("--from-scratch", action="store_true", help="without a learned prior")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    if args.weight is not None and not 0 < args.weight <= 1e6:
        parser.error(f"--weight {args.weight} is not a factor above 0")
    if not args.data.is_file():
        parser.error(f"{args.data} is no file; see the top of recipes/backbone_data.py")
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    prior = zoo.load(args.prior)
    parts = split(read(args.data), args.motifs, args.out / "left_out.json")
    torch.manual_seed(args.seed)
    if args.from_scratch:
        alike = ("width", "blocks", "heads", "pair", "window")
        size, prior = {name: prior.config[name] for name in alike}, of_chains(prior)
        h = BackboneHTransform(prior.scale, spectrum=prior.spectrum, bonds=True, **size)
    else:
        h = BackboneHTransform.for_prior(prior, fraction=args.fraction)
    if args.initial:
        h.load_state_dict(tensors.read(args.initial, checkpoint.KIND)[0])
    problem = MotifScaffolding(sigma_y=0.1)
    print(f"{h.num_parameters} parameters", flush=True)
    result = train(
        h,
        prior,
        DenoisingScoreMatching(problem, times=LAW),
        chains.Chains(whole(parts["train"]), prior),
        steps=args.steps,
        batch_size=args.batch,
        learning_rate=args.learning_rate,
        ema=0.995,
        validation=chains.Chains(whole(parts["val"]), prior),
        validate_every=500,
        validation_draws=128,
        seed=args.seed,
        out=args.out / "run",
        save_every=100,
        log_every=25,
    )
    assert result.validation is not None
    facts = result.facts() | {
        "batch_size": args.batch,
        "learning_rate": args.learning_rate,
        "recipe": "recipes/train_scaffold.py",
        "initial": args.initial_is if args.initial else None,
    }
    card = {
        "prior_from": None if args.from_scratch else args.prior,
        "problem": problem.card(),
        "training": facts,
        "metrics": result.validation.card(),
    }
    if args.weight is not None:
        card["weight"] = args.weight
    checkpoint.save(args.out / "h.safetensors", h, prior, card)
    print(result.validation.table())


if __name__ == "__main__":
    main()
