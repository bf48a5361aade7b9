"""Measures, as plain functions; none of them downloads anything."""

from deft.metrics.distribution import energy_distance, mmd, patch_distance, sliced_wasserstein
from deft.metrics.image import misfit, psnr, root_mean_square, ssim
from deft.metrics.learned import LPIPS, Weights, fid, frechet_distance, kernel_distance, kid, lpips

__all__ = [
    "LPIPS",
    "Weights",
    "energy_distance",
    "fid",
    "frechet_distance",
    "kernel_distance",
    "kid",
    "lpips",
    "misfit",
    "mmd",
    "patch_distance",
    "psnr",
    "root_mean_square",
    "sliced_wasserstein",
    "ssim",
]
