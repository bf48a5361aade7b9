"""A prior behind an API: the client, and what client and server say to each other."""

from deft.priors.remote.prior import RemotePrior

__all__ = ["RemotePrior"]
