"""Measures, as plain functions; none of them downloads anything."""

from deft.metrics.calibration import (
    Coverage,
    RankHistogram,
    coverage,
    crps,
    linear_functionals,
    rank_histogram,
    ranks,
    uncertain,
)
from deft.metrics.distribution import energy_distance, mmd, patch_distance, sliced_wasserstein
from deft.metrics.image import misfit, psnr, root_mean_square, ssim
from deft.metrics.intervals import Intervals
from deft.metrics.judge import EfficientNetLite0, load_judge
from deft.metrics.learned import Weights, fid, frechet_distance, kernel_distance, kid, lpips
from deft.metrics.perceptual import LPIPS

__all__ = [
    "LPIPS",
    "Coverage",
    "EfficientNetLite0",
    "Intervals",
    "RankHistogram",
    "Weights",
    "coverage",
    "crps",
    "energy_distance",
    "fid",
    "frechet_distance",
    "kernel_distance",
    "kid",
    "linear_functionals",
    "load_judge",
    "lpips",
    "misfit",
    "mmd",
    "patch_distance",
    "psnr",
    "rank_histogram",
    "ranks",
    "root_mean_square",
    "sliced_wasserstein",
    "ssim",
    "uncertain",
]
