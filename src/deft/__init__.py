"""DEFT: conditional sampling from a frozen diffusion prior, by learning the generalised
h-transform.

    grad log p_t(x_t | y) = grad log p_t(x_t) + grad log h(x_t, t),    h(x_t, t) = p(y | x_t)

Denker et al. 2024, arXiv:2406.01781. A posterior is a prior: `Posterior(prior, h_transform,
observation)` denoises like the prior that it wraps, and every sampler runs on both. Names are
imported when they are first used, so that `import deft` stays light.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOME = {
    # priors
    "Prior": "deft.priors.base",
    "Denoised": "deft.priors.base",
    "GaussianMixture": "deft.priors.gaussian_mixture",
    "BackbonePrior": "deft.priors.backbone",
    "EquivariantBackbone": "deft.priors.equivariant_backbone",
    "GaussianChain": "deft.priors.gaussian_chain",
    "Rescheduled": "deft.priors.rescheduled",
    "Tiled": "deft.priors.tiled",
    "CallablePrior": "deft.priors.callable",
    "CallableBackbone": "deft.priors.callable_backbone",
    "GeniePrior": "deft.priors.genie",
    "UNetPrior": "deft.priors.unet",
    "RemotePrior": "deft.priors.remote",
    # schedules and noise
    "Noise": "deft.noise",
    "Schedule": "deft.schedules",
    "VPLinear": "deft.schedules",
    "VPCosine": "deft.schedules",
    "VPTabulated": "deft.schedules",
    "VE": "deft.schedules",
    "EDM": "deft.schedules",
    "RectifiedFlow": "deft.schedules",
    # measurements
    "ForwardOperator": "deft.operators.base",
    "LinearOperator": "deft.operators.base",
    "SpectralOperator": "deft.operators.base",
    "GaussianLikelihood": "deft.likelihoods",
    "PoissonLikelihood": "deft.likelihoods",
    "EmissionLikelihood": "deft.likelihoods",
    "Likelihood": "deft.likelihoods",
    "Observation": "deft.likelihoods",
    "Problem": "deft.problems",
    "from_deepinv": "deft.interop.deepinv.operators",
    "observation_from_deepinv": "deft.interop.deepinv.observation",
    # h-transforms
    "HTransform": "deft.htransforms.base",
    "Potential": "deft.htransforms.base",
    "DataConsistency": "deft.htransforms.base",
    "NoConditioning": "deft.htransforms.base",
    "Sum": "deft.htransforms.composed",
    "Scaled": "deft.htransforms.composed",
    "Calibrated": "deft.htransforms.calibrated",
    "Exact": "deft.htransforms.exact",
    "ExactChain": "deft.htransforms.exact_chain",
    "LearnedHTransform": "deft.htransforms.learned",
    "BackboneHTransform": "deft.htransforms.backbone",
    "TiledHTransform": "deft.htransforms.tiled",
    "FlatHTransform": "deft.htransforms.flat",
    "PaperHTransform": "deft.htransforms.paper",
    "ConditionalScore": "deft.htransforms.conditional_score",
    "GaussianPotential": "deft.htransforms.gaussian_potential",
    "DPS": "deft.htransforms.dps",
    "DDNM": "deft.htransforms.ddnm",
    "PiGDM": "deft.htransforms.pigdm",
    "MCG": "deft.htransforms.mcg",
    "TMPD": "deft.htransforms.tmpd",
    "MMPS": "deft.htransforms.mmps",
    "LGD": "deft.htransforms.lgd",
    "ClassifierFree": "deft.htransforms.cfg",
    "Classifier": "deft.htransforms.classifier",
    "labelled": "deft.htransforms.labels",
    # posterior and samplers
    "Posterior": "deft.posterior",
    "Sampler": "deft.samplers.base",
    "PosteriorSampler": "deft.samplers.posterior",
    "State": "deft.steps",
    "Steps": "deft.transitions",
    "Transition": "deft.transitions",
    "UniformTime": "deft.samplers.grids",
    "UniformLogSNR": "deft.samplers.grids",
    "Karras": "deft.samplers.grids",
    "LogSNRCurve": "deft.samplers.grids",
    "DDIM": "deft.samplers.ddim",
    "Cooled": "deft.samplers.cooled",
    "Heun": "deft.samplers.heun",
    "DPMSolver": "deft.samplers.dpm_solver",
    "UniPC": "deft.samplers.unipc",
    "ConjugateIntegrator": "deft.samplers.conjugate",
    "Informed": "deft.samplers.informed",
    "DDNMPlus": "deft.samplers.ddnm_plus",
    "DiffPIR": "deft.samplers.diffpir",
    "REDDiff": "deft.samplers.red_diff",
    "DDRM": "deft.samplers.ddrm",
    "Replacement": "deft.samplers.replacement",
    "ReplacementAfter": "deft.samplers.replacement",
    "DAPS": "deft.samplers.daps",
    "TwistedSMC": "deft.samplers.smc",
    "DeepinvReconstructor": "deft.interop.deepinv.reconstructor",
    # how exact they were
    "WeightedSamples": "deft.samplers.weights",
    "effective_sample_size": "deft.samplers.weights",
    "log_evidence": "deft.samplers.weights",
    "simulate": "deft.paths",
    "path_log_weight": "deft.paths",
    "weigh": "deft.paths",
    # trained h-transforms
    "load": "deft.loading",
    "Loaded": "deft.loading",
    "DeftPipeline": "deft.pipeline.pipeline",
    "scaffold": "deft.pipeline.scaffolds",
    # training
    "Objective": "deft.training.base",
    "Loss": "deft.training.batch",
    "Batch": "deft.training.batch",
    "Draws": "deft.training.sources",
    "DenoisingScoreMatching": "deft.training.denoising",
    "EnergyScore": "deft.training.distillation",
    "TrajectoryMatching": "deft.training.distillation",
    "train": "deft.training.loop",
    "calibrate": "deft.training.calibrate",
    # studies
    "tune": "deft.studies.tune",
    "tune_grid": "deft.studies.tune_grid",
}

_MODULES = (
    "errors",
    "htransforms",
    "interop",
    "metrics",
    "networks",
    "operators",
    "paths",
    "priors",
    "problems",
    "samplers",
    "schedules",
    "training",
    "data",
    "studies",
    "reports",
)

__all__ = ["__version__", *sorted(_HOME)]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    if name in _MODULES:
        return import_module(f"deft.{name}")
    raise AttributeError(f"module 'deft' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_MODULES])
