"""What the card of an h-transform says where a command line does not: its prior and its problem."""

from __future__ import annotations

from pathlib import Path

from deft.errors import InvalidInput
from deft.priors import resolve
from deft.problems import Problem, from_card
from deft.storage import hub
from deft.training import checkpoint


def prior_of(h: Path | None) -> str:
    """The name or place of its prior."""
    if h is None:
        raise InvalidInput("say which prior: --prior NAME.")
    card = checkpoint.read_card(h)
    if not isinstance(card.get("prior_from"), str):
        raise InvalidInput(
            f"the card of {h} does not say where its prior {card['prior']} comes from; give "
            "--prior."
        )
    return str(card["prior_from"])


def at_hand(name: str) -> None:
    """Raise `InvalidInput` for a prior that a card names and that would have to be fetched."""
    if resolve.is_address(name) or (hub.is_id(name) and not Path(name).exists()):
        raise resolve.not_fetched(name)


def problem_of(h: Path | None, allow: tuple[str, ...]) -> Problem:
    """The problem that it was trained for."""
    card = checkpoint.read_card(h).get("problem") if h is not None else None
    if not isinstance(card, dict):
        raise InvalidInput(
            "say what is measured: --problem, such as --problem Inpainting --problem.sigma_y 0.05."
        )
    return from_card(card, allow=allow)
