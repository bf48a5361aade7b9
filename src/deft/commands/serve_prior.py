"""`deft serve-prior`."""

from __future__ import annotations

import os
from pathlib import Path

from deft.commands import priors
from deft.commands.priors import Labels, Names
from deft.priors.details import Details
from deft.priors.remote.prior import checked_token, token_in
from deft.serving import serve

EXAMPLE = "deft serve-prior --prior digits-32 --port 8000"
HELP = {
    "prior": "a prior that ships (deft list), a file, a diffusers folder or a hub id",
    "host": "the address to listen at; other machines reach any but this one, and need a token",
    "port": "0 takes one that is free",
    "token_file": "a file that holds the token that clients must have (default: what DEFT_TOKEN "
    "holds, and none without it)",
    "batch_size": "signals of one request, and of one evaluation for several clients",
    "megabytes": "of one request; default: what --batch_size signals need",
    "timeout": "seconds in which a request must arrive, and in which it is answered",
    "wait": "seconds for which a request waits for others to be denoised with",
    "allow": priors.ALLOW_HELP,
    **priors.HELP,
}


def run(
    prior: str,
    host: str = "127.0.0.1",
    port: int = 8000,
    token_file: Path | None = None,
    batch_size: int = 64,
    megabytes: float | None = None,
    timeout: float = 60.0,
    wait: float = 0.002,
    labels: Labels | None = None,
    subfolder: str | None = None,
    schedule: str | None = None,
    prediction_type: str | None = None,
    details: Details | None = None,
    context: Path | None = None,
    allow: Names | None = None,
) -> None:
    """Serve a prior over HTTP: clients train h-transforms and draw samples with it by
    --prior http://HOST:PORT, and get neither its weights nor its gradients.

    Ends with Ctrl-C or SIGTERM, when what is under way is answered.
    """
    import torch

    if token_file is not None:
        token: str | None = token_in(token_file, "token_file")
    else:
        given = os.environ.get("DEFT_TOKEN")
        token = checked_token("DEFT_TOKEN", given) if given else None
    network = priors.described(
        prior,
        labels,
        subfolder,
        schedule,
        prediction_type,
        allow=priors.names(allow),
        details=details,
        context=context,
        ready=True,
    )
    if torch.accelerator.is_available():
        network = network.to(torch.accelerator.current_accelerator())
    if token is None:
        print("no token: every user of this machine can call it (--token_file)")
    serve(
        network,
        say=lambda text: print(text, flush=True),
        host=host,
        port=port,
        token=token,
        batch_size=batch_size,
        megabytes=megabytes,
        timeout=timeout,
        wait=wait,
    )
