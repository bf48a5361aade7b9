"""`deft list`."""

from __future__ import annotations

from typing import Literal

from deft.commands import catalogue
from deft.priors import zoo
from deft.training import checkpoint

HELP = {"kind": "one kind only"}

Kind = Literal["all", "priors", "problems", "operators", "masks", "kernels", "h-transforms", "samplers", "time-grids", "methods"]


def run(kind: Kind = "all") -> None:
    """Show what there is, and the dotted path by which a YAML file names it."""
    blocks = []
    if kind in ("all", "priors"):
        blocks.append(("priors", [(name, _prior(name)) for name in zoo.names()]))
    if kind in ("all", "h-transforms"):
        blocks.append(("h-transforms that ship", [(name, str(checkpoint.located(name))) for name in checkpoint.shipped()]))
    for each in catalogue.KINDS:
        if kind in ("all", each):
            blocks.append((each, [(catalogue.path(c), catalogue.sentence(c)) for c in catalogue.classes(each)]))
    for title, rows in blocks:
        print(f"{title}:")
        width = max((len(name) for name, _ in rows), default=0)
        for name, text in rows or [("none", "")]:
            print(f"  {name:<{width}}  {text}".rstrip())
        print()


def _prior(name: str) -> str:
    card = zoo.card(name)
    shape = "x".join(map(str, card["event_shape"]))  # type: ignore[call-overload]
    gate = card.get("gate")
    below = "" if not isinstance(gate, dict) or gate.get("passed") else "; below its gate (deft inspect)"
    return f"{shape}, {int(card['parameters']) / 1e6:.1f} M parameters: {card.get('data', 'no card')}{below}"  # type: ignore[call-overload]
