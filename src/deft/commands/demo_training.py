"""The h-transforms of `deft demo`: where they start, and how they are trained."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from deft.commands.demo_plan import Plan
from deft.commands.untrained import untrained
from deft.htransforms.base import HTransform
from deft.priors import zoo
from deft.priors.base import Prior
from deft.problems import Problem
from deft.training import chain, checkpoint
from deft.training.denoising import DenoisingScoreMatching
from deft.training.loop import train


def shipped_start(prior: Prior, name: str) -> Path | None:
    """An h-transform that ships for this prior and problem."""
    path = zoo.FOLDER / f"h-{prior.name}-{name}.safetensors"
    if not path.exists():
        return None
    theirs = checkpoint.read_card(path).get("prior")
    return (
        path
        if isinstance(theirs, Mapping) and theirs.get("hash") == prior.identity()["hash"]
        else None
    )


def learned(
    out: Path,
    prior: Prior,
    name: str,
    problem: Problem,
    start: Path | None,
    data: Tensor,
    held_out: Tensor,
    plan: Plan,
    source: str,
    fraction: float,
    seed: int,
) -> tuple[HTransform, dict[str, object]]:
    """The h-transform of a problem with its card: trained here, or by an earlier run."""
    path = out / "h.safetensors"
    if path.exists():
        print(f"{name}: the h-transform is there already, {path}")
        return checkpoint.load(path, prior, problem=problem)
    h_transform: HTransform = (
        untrained(prior, fraction, seed) if start is None else checkpoint.load(start, prior)[0]
    )
    size = sum(p.numel() for p in h_transform.parameters())
    print(
        f"{name}: training {size:,} parameters, {100 * size / max(prior.num_parameters, 1):.1f} % "
        "of the prior's",
        flush=True,
    )
    rate = 2e-3 if start is None else 3e-4
    result = train(
        h_transform,
        prior,
        DenoisingScoreMatching(problem),
        data,
        steps=plan.training_steps,
        batch_size=plan.batch_size,
        learning_rate=rate,
        ema=0.98,
        validation=held_out,
        validation_draws=len(held_out),
        validate_every=max(plan.training_steps // 3, 1),
        seed=seed,
        out=out,
        save_every=50,
        log_every=max(plan.training_steps // 40, 1),
    )
    metrics = None if result.validation is None else result.validation.card()
    before = {} if start is None else chain.facts(start, result.seconds)
    training = {
        **result.facts(),
        **before,
        "batch_size": plan.batch_size,
        "started_from": start.stem if start else "scratch",
    }
    checkpoint.save(
        path,
        h_transform,
        prior,
        {"prior_from": source, "problem": problem.card(), "training": training, "metrics": metrics},
    )
    return h_transform, checkpoint.read_card(path)
