"""Bodies of learned networks; they import `deft.types` only."""

from deft.networks.mlp import MLP, ResidualMLP
from deft.networks.unet import UNet

__all__ = ["MLP", "ResidualMLP", "UNet"]
