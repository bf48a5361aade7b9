"""`deft list`."""

from __future__ import annotations

from typing import Literal

from deft.commands import catalogue
from deft.priors import zoo
from deft.storage.cards import described
from deft.training import checkpoint, places
from deft.training.suited import for_any

EXAMPLE = "deft list --kind problems"
HELP = {"kind": "one kind only"}

Kind = Literal[
    "all",
    "priors",
    "problems",
    "operators",
    "masks",
    "kernels",
    "h-transforms",
    "objectives",
    "samplers",
    "time-grids",
    "methods",
]


def run(kind: Kind = "all") -> None:
    """Show what there is, and the dotted path by which a YAML file names it."""
    blocks = []
    if kind in ("all", "priors"):
        blocks.append(("priors", [(name, _prior(name)) for name in zoo.names()]))
    if kind in ("all", "h-transforms"):
        blocks.append(
            ("h-transforms that ship", [(name, _shipped(name)) for name in places.shipped()])
        )
    for each in catalogue.KINDS:
        if kind in ("all", each):
            blocks.append(
                (
                    each,
                    [(catalogue.path(c), catalogue.sentence(c)) for c in catalogue.classes(each)],
                )
            )
    for title, rows in blocks:
        print(f"{title}:")
        width = max((len(name) for name, _ in rows), default=0)
        for name, text in rows or [("none", "")]:
            print(f"  {name:<{width}}  {text}".rstrip())
        print()


def _prior(name: str) -> str:
    card = zoo.card(name)
    shape = "x".join(map(str, card["event_shape"]))
    gate = card.get("gate")
    below = (
        ""
        if not isinstance(gate, dict) or gate.get("passed")
        else "; below its gate (deft inspect)"
    )
    return (
        f"{shape}, {int(card['parameters']) / 1e6:.1f} M parameters: "
        f"{card.get('data', 'no card')}{below}"
    )


def _shipped(name: str) -> str:
    """For which prior, problem and noise an h-transform is."""
    card = checkpoint.read_card(places.located(name))
    prior, problem = card.get("prior"), card.get("problem")
    args = problem.get("args") if isinstance(problem, dict) else None
    noise = (
        next(
            (
                f"{key} {args[key]}"
                for key in ("sigma_y", "relative_noise", "photons")
                if args.get(key)
            ),
            "no noise",
        )
        if isinstance(args, dict)
        else ""
    )
    plain = (
        {
            "class": problem["class"],
            "args": {
                key: value for key, value in args.items() if value is not None and key != "sigma_y"
            },
        }
        if isinstance(args, dict) and isinstance(problem, dict)
        else problem
    )
    what = "any linear operator" if for_any(card.get("architecture")) else described(plain)
    return (
        f"for {prior['name'] if isinstance(prior, dict) else 'an unknown prior'}, {noise}: {what}"
    )
