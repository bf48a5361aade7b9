"""`deft app`."""

from __future__ import annotations

import webbrowser
from collections.abc import Mapping
from typing import Any

from deft.app.limits import Limits
from deft.app.run import serve
from deft.commands import inputs, priors
from deft.commands.display import has_display
from deft.commands.priors import Names
from deft.errors import DeftError, InvalidInput
from deft.training import checkpoint, places

EXAMPLE = "deft app --h h-digits-32-inpainting"
HELP = {
    "h": "an h-transform to begin with: a run folder, a file, the name of one that ships or lies "
    "in a folder of $DEFT_WEIGHTS, or a hub id; can be given several times (default: those that "
    "ship)",
    "prior": "the prior of every --h, in place of the one on its card",
    "port": "of this machine, 127.0.0.1; 0 takes one that is free",
    "megabytes": "of the largest file that the page takes",
    "samples": "the most that can be asked for at once",
    "open_page": "open it in a browser where there is a display",
    "allow": priors.ALLOW_HELP,
}


def run(
    h: Names | None = None,
    prior: str | None = None,
    port: int = 7860,
    megabytes: float = 32.0,
    samples: int = 64,
    open_page: bool = True,
    allow: Names | None = None,
) -> None:
    """A page on this machine: drop a picture, paint what is missing or pick how it is measured,
    and look at samples as they come, with their mean, standard deviation and verdict.

    No other machine can reach it, and it asks nothing outside of this one. Ends with Ctrl-C.
    """
    import torch

    given = [] if h is None else [h] if isinstance(h, str) else list(h)
    if prior is not None and not given:
        raise InvalidInput(
            "prior",
            given=prior,
            expected="nothing without --h: those that ship know their prior",
            advice="say the h-transform too: --h FILE",
        )
    allowed = priors.names(allow)
    for one in given:
        if _of_chains(checkpoint.read_card(places.fetched(one))):  # the page downloads nothing
            raise InvalidInput(
                "--h",
                given=f"{one}, of protein backbones",
                expected="an h-transform of images, for the page",
                advice="designs are drawn by deft scaffold",
            )
    network = None if prior is None else priors.opened(prior, *(None,) * 4, allow=allowed)
    if network is not None:
        inputs.no_chains(network)
    known = (name for name in places.named() if name not in given)
    names = [*given, *(name for name in known if not _of_chains(_card(name)))]

    def say(url: str) -> None:
        print(f"the page is at {url}", flush=True)
        if open_page and has_display():
            webbrowser.open(url)

    there = torch.accelerator.is_available()
    serve(
        names,
        say=say,
        port=port,
        prior=network,
        allow=allowed,
        device=str(torch.accelerator.current_accelerator()) if there else "cpu",
        limits=Limits(megabytes=megabytes, samples=samples),
    )


def _card(name: str) -> Mapping[str, Any]:
    """The card of an h-transform on this machine; an empty one where the page will say what is
    wrong with it.
    """
    try:
        return checkpoint.read_card(places.located(name))
    except DeftError:
        return {}


def _of_chains(card: Mapping[str, Any]) -> bool:
    """Whether an h-transform is one of protein backbones, which the page does not show."""
    made = card.get("architecture")
    return isinstance(made, Mapping) and made.get("class") == "BackboneHTransform"
