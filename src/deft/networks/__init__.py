"""Bodies of learned networks; they import `deft.types` only."""

from deft.networks.mlp import MLP
from deft.networks.unet import UNet

__all__ = ["MLP", "UNet"]
