"""A prior over HTTP: `serve` and `running`; the client is `deft.priors.remote.RemotePrior`."""

from deft.serving.batches import Batches
from deft.serving.run import running, serve

__all__ = ["Batches", "running", "serve"]
