"""What is combined: kinds of prior, h-transform, sampler and operator, each by its name in the
table.

The base prior is a white Gaussian, for which several methods are exact; every entry makes its
object anew, and an object that refuses its arguments counts as a refusal of the combination.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from deft.htransforms.base import HTransform, NoConditioning
from deft.htransforms.calibrated import Calibrated
from deft.htransforms.cfg import ClassifierFree
from deft.htransforms.classifier import Classifier
from deft.htransforms.composed import Scaled, Sum
from deft.htransforms.conditional_score import ConditionalScore
from deft.htransforms.ddnm import DDNM
from deft.htransforms.dps import DPS
from deft.htransforms.exact import Exact
from deft.htransforms.flat import FlatHTransform
from deft.htransforms.gaussian_potential import GaussianPotential
from deft.htransforms.labels import labelled
from deft.htransforms.learned import LearnedHTransform
from deft.htransforms.lgd import LGD
from deft.htransforms.mcg import MCG
from deft.htransforms.mmps import MMPS
from deft.htransforms.paper import PaperHTransform
from deft.htransforms.pigdm import PiGDM
from deft.htransforms.tmpd import TMPD
from deft.likelihoods import EmissionLikelihood, GaussianLikelihood, Observation, PoissonLikelihood
from deft.noise import Noise
from deft.operators.base import ForwardOperator, LinearOperator
from deft.operators.blur import Blur
from deft.operators.callable import CallableOperator
from deft.operators.colourisation import Colourisation
from deft.operators.high_dynamic_range import HighDynamicRange
from deft.operators.identity import Identity
from deft.operators.inpainting import Inpainting
from deft.operators.jpeg import JPEG
from deft.operators.matrix import Matrix
from deft.operators.mri import MRI
from deft.operators.multi_coil_mri import MultiCoilMRI
from deft.operators.nonlinear_blur import NonlinearBlur
from deft.operators.phase_retrieval import PhaseRetrieval
from deft.operators.super_resolution import SuperResolution
from deft.operators.tomography import Tomography
from deft.operators.transmission import Transmission
from deft.operators.units import InUnits
from deft.posterior import Posterior
from deft.priors.base import Prior
from deft.priors.callable import CallablePrior
from deft.priors.gaussian_mixture import GaussianMixture
from deft.priors.rescheduled import Rescheduled
from deft.samplers.base import Sampling
from deft.samplers.daps import DAPS
from deft.samplers.ddim import DDIM
from deft.samplers.ddnm_plus import DDNMPlus
from deft.samplers.ddrm import DDRM
from deft.samplers.diffpir import DiffPIR
from deft.samplers.dpm_solver import DPMSolver
from deft.samplers.grids import UniformLogSNR
from deft.samplers.heun import Heun
from deft.samplers.red_diff import REDDiff
from deft.samplers.replacement import Replacement
from deft.samplers.smc import ResampledSMC, TwistedSMC
from deft.samplers.unipc import UniPC
from deft.schedules import VE, VPCosine
from deft.types import inner

DOUBLE = torch.float64
Shape = tuple[int, ...]
IMAGE, COLOUR, VECTOR = (2, 4, 4), (3, 4, 4), (8,)
SHAPES = {"colourisation": COLOUR, "JPEG": COLOUR}  # of what has no signals of two channels
OBSERVATIONS = 2


def shape_for(operator: str) -> Shape:
    """The shape of signals that an operator is looked at with, where they are images."""
    return SHAPES.get(operator, IMAGE)


def white(event_shape: Shape = IMAGE) -> GaussianMixture:
    """N(0.1, 0.25 I)."""
    return GaussianMixture(
        torch.full((1, *event_shape), 0.1, dtype=DOUBLE),
        torch.tensor([0.25], dtype=DOUBLE),
        None,
        VPCosine(),
    )


def _two(shape: Shape) -> GaussianMixture:
    means = torch.stack([torch.full(shape, 0.4), torch.full(shape, -0.3)]).double()
    return GaussianMixture(means, torch.tensor([0.2, 0.1], dtype=DOUBLE), None, VPCosine())


class Network(nn.Module):
    """The denoiser of `white` as a network, whose weights say in which precision it computes."""

    def __init__(self, dtype: torch.dtype, shape: Shape) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.full(shape, 0.1, dtype=dtype))

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        assert x_t.dtype == self.mean.dtype
        schedule = VPCosine()
        alpha, sigma = (
            level.to(x_t.dtype).reshape(-1, 1, 1, 1)
            for level in (schedule.alpha(t), schedule.sigma(t))
        )
        return self.mean + alpha * 0.25 / (alpha**2 * 0.25 + sigma**2) * (x_t - alpha * self.mean)


def of_network(dtype: torch.dtype, shape: Shape = IMAGE) -> Prior:
    return CallablePrior(
        Network(dtype, shape), VPCosine(), shape, 0.5, differentiable=True, value_range=(-2.0, 2.0)
    )


def of_function(shape: Shape, *, differentiable: bool) -> Prior:
    function = white(shape).denoise
    return CallablePrior(function, VPCosine(), shape, 0.5, differentiable=differentiable)


def _first(shape: Shape) -> Observation:
    """What a wrapped posterior has seen before: a quarter of the image."""
    mask = torch.zeros(1, 1, *shape[1:], dtype=DOUBLE)
    mask[..., :2, :2] = 1
    likelihood = GaussianLikelihood(Inpainting(mask), 0.3)
    noise = Noise(range(90, 90 + OBSERVATIONS), dtype=DOUBLE)
    return Observation(likelihood.sample(white(shape).sample(noise), noise.stream(1)), likelihood)


def _behind(h: HTransform, shape: Shape) -> Prior:
    return Posterior(white(shape), h, _first(shape))


PRIORS: dict[str, Callable[[Shape], Prior]] = {
    "Gaussian": white,
    "mixture": _two,
    "vectors": lambda shape: white(VECTOR),
    "no gradients": lambda shape: of_function(shape, differentiable=False),
    "callable": lambda shape: of_function(shape, differentiable=True),
    "rescheduled": lambda shape: Rescheduled(white(shape), VE()),
    "conditioned": lambda shape: Exact(white(shape)).posterior(_first(shape)),
    "posterior of Exact": lambda shape: _behind(Exact(white(shape)), shape),
    "posterior of DDNM": lambda shape: _behind(DDNM(), shape),
    "posterior of DPS": lambda shape: _behind(DPS(0.5), shape),
    "bfloat16": lambda shape: of_network(torch.bfloat16, shape),
    "float16": lambda shape: of_network(torch.float16, shape),
}


def _classifier(x_t: Tensor, t: Tensor, observation: Observation) -> Tensor:
    return -(1 + 0.01 * inner(x_t, x_t)).log()


STRENGTH = {
    "photon counts": 0.03,
    "emission counts": 0.5,
    "own function": 0.5,
    "in units": 0.5,
    "tomography": 0.5,
    "phase retrieval": 2.0,
}  # of guidance by raw gradients; 1 for others

H_TRANSFORMS: dict[str, Callable[[Prior, float], HTransform]] = {
    "NoConditioning": lambda prior, strength: NoConditioning(),
    "Exact": lambda prior, strength: Exact(white(tuple(prior.event_shape))),
    "DPS": lambda prior, strength: DPS(6.0 * strength),
    "PiGDM": lambda prior, strength: PiGDM(prior.scale),
    "MCG": lambda prior, strength: MCG(0.1),
    "TMPD": lambda prior, strength: TMPD(),
    "MMPS": lambda prior, strength: MMPS(4),
    "LGD": lambda prior, strength: LGD(4, prior.scale, weight=6.0 * strength),
    "LGD, density": lambda prior, strength: Scaled(LGD(4, prior.scale), 0.2 * strength),
    "DDNM": lambda prior, strength: DDNM(),
    "GaussianPotential": lambda prior, strength: GaussianPotential.for_prior(prior),
    "LearnedHTransform": lambda prior, strength: LearnedHTransform(
        prior.event_shape, prior.scale, channels=(8,), attention=(False,)
    ).to(prior.dtype),
    "PaperHTransform": lambda prior, strength: PaperHTransform(
        prior.event_shape,
        prior.scale,
        initial_weight=0.01 * strength**2,
        channels=(8,),
        attention=(False,),
    ).to(prior.dtype),
    "ConditionalScore": lambda prior, strength: ConditionalScore(
        prior.event_shape, prior.scale, channels=(8,), blocks=1, attention=(False,)
    ).to(prior.dtype),
    "FlatHTransform": lambda prior, strength: FlatHTransform(
        prior.event_shape, prior.scale, width=8, depth=0, anchors=0
    ).to(prior.dtype),
    "Calibrated": lambda prior, strength: Calibrated(
        PiGDM(prior.scale), prior.event_shape, low=0.0, high=4.0
    ),
    "Sum(PiGDM, DPS)": lambda prior, strength: Sum(
        Scaled(PiGDM(prior.scale), 0.9), DPS(0.1 * strength)
    ),
    "Sum(DPS, DPS)": lambda prior, strength: Sum(DPS(3.0 * strength), DPS(3.0 * strength)),
    "Classifier": lambda prior, strength: Classifier(_classifier),
    "ClassifierFree": lambda prior, strength: ClassifierFree(lambda x_t, t, observation: 0.5 * x_t),
}

STEPS = 16


def _grid() -> UniformLogSNR:
    return UniformLogSNR(high=8.0)


SAMPLERS: dict[str, Callable[[Prior], Sampling]] = {
    "DDIM": lambda prior: DDIM(STEPS, 0.0, _grid()),
    "DDIM(eta=1)": lambda prior: DDIM(STEPS, 1.0, _grid()),
    "Heun": lambda prior: Heun(STEPS, _grid()),
    "DPMSolver": lambda prior: DPMSolver(STEPS, _grid()),
    "UniPC": lambda prior: UniPC(STEPS, _grid()),
    "DDNMPlus": lambda prior: DDNMPlus(STEPS, grid=_grid()),
    "DDRM": lambda prior: DDRM(STEPS, grid=_grid()),
    "DiffPIR": lambda prior: DiffPIR(STEPS),
    "REDDiff": lambda prior: REDDiff(60),
    "DAPS": lambda prior: DAPS(STEPS, 1, 20, 1e-3, noise_level=0.2),
    "Replacement": lambda prior: Replacement(STEPS, 4, 2, grid=_grid()),
    "TwistedSMC": lambda prior: ResampledSMC(
        TwistedSMC(GaussianPotential.for_prior(prior), STEPS, grid=_grid()), 8
    ),
}

SOLVERS = (
    "DDIM",
    "DDIM(eta=1)",
    "Heun",
    "DPMSolver",
    "UniPC",
    "TwistedSMC",
)  # those that run on any posterior


def _mask(event_shape: Shape) -> Tensor:
    space = event_shape[1:] or event_shape
    return (Noise([5], dtype=DOUBLE).uniform(7, (1, *space)) < 0.6).double()


def _matrix(event_shape: Shape) -> ForwardOperator:
    d = torch.Size(event_shape).numel()
    return Matrix(Noise([6], dtype=DOUBLE).normal(3, (d // 2, d)) / d**0.5, event_shape)


def _coils() -> Tensor:
    """Three coils, (1, 2, 3, 4, 4), the sum of their squares 1 everywhere."""
    s = 1 + 0.5 * Noise([7], dtype=DOUBLE).normal(0, (2, 3, *IMAGE[1:]))
    return s / s.square().sum((1, 2), keepdim=True).sqrt()


def _noise(kind: str, operator: ForwardOperator, x_0: Tensor) -> float | Tensor | LinearOperator:
    """The noise of a kind, in the units of y."""
    if kind == "noise of each entry":
        u = Noise([8], dtype=DOUBLE).uniform(0, tuple(operator(x_0).shape[1:]))
        return GAUSSIAN_NOISE * (0.5 + u)
    if kind == "correlated noise":
        m = operator(x_0).shape[1]
        apart = (torch.arange(m)[:, None] - torch.arange(m)).abs().to(DOUBLE)
        return Matrix(GAUSSIAN_NOISE**2 * 0.5**apart, (m,))
    return 0.0 if kind.endswith("= 0") else GAUSSIAN_NOISE


def _kernel() -> Tensor:
    kernel = torch.tensor([[0.05, 0.1, 0.05], [0.1, 0.4, 0.1], [0.05, 0.1, 0.05]], dtype=DOUBLE)
    return kernel[None]


def _round(x_0: Tensor) -> Tensor:
    return (4 * x_0).round() / 4


def _bent(x_0: Tensor) -> Tensor:
    return x_0 + 0.3 * (2 * x_0).sin()


OPERATORS: dict[str, Callable[[Shape], ForwardOperator | None]] = {
    "identity": lambda shape: Identity(),
    "inpainting": lambda shape: Inpainting(_mask(shape)) if shape == IMAGE else None,
    "inpainting, sigma_y = 0": lambda shape: Inpainting(_mask(shape)) if shape == IMAGE else None,
    "super-resolution": lambda shape: SuperResolution(2, shape) if shape == IMAGE else None,
    "circular blur": lambda shape: Blur(_kernel()) if shape == IMAGE else None,
    "reflecting blur": lambda shape: Blur(_kernel(), "reflect") if shape == IMAGE else None,
    "matrix": _matrix,
    "in units": lambda shape: InUnits(_matrix(shape), 2.0, 1.0),
    "MRI": lambda shape: MRI(_mask(shape)) if shape == IMAGE else None,
    "multi-coil MRI": lambda shape: (
        MultiCoilMRI(_mask(shape), _coils()) if shape == IMAGE else None
    ),
    "tomography": lambda shape: (
        Tomography(4, torch.tensor([0.0, 45.0, 90.0], dtype=DOUBLE)) if shape == IMAGE else None
    ),
    "HDR": lambda shape: HighDynamicRange(1.5),
    "non-linear blur": lambda shape: NonlinearBlur(_kernel()) if shape == IMAGE else None,
    "phase retrieval": lambda shape: (
        PhaseRetrieval(None, iterations=20, restarts=1) if shape == IMAGE else None
    ),
    "colourisation": lambda shape: Colourisation() if shape == COLOUR else None,
    "JPEG": lambda shape: JPEG(50) if shape == COLOUR else None,
    "noise of each entry": _matrix,
    "correlated noise": _matrix,
    "own function": lambda shape: CallableOperator(
        _bent, shape, differentiable=True, lift=lambda y: y
    ),
    "black box": lambda shape: CallableOperator(
        lambda x: _bent(x.detach()), shape, lift=lambda y: y
    ),
    "rounding": lambda shape: CallableOperator(
        _round, shape, differentiable=True, lift=lambda y: y
    ),
    "photon counts": lambda shape: Transmission(_matrix(shape), 20.0),
    "emission counts": lambda shape: CallableOperator(
        lambda x: x.exp(), shape, differentiable=True, lift=lambda y: y.clamp(min=0.1).log()
    ),
    "labels": lambda shape: None,
}

GAUSSIAN_NOISE = 0.2


def observation(kind: str, prior: Prior) -> tuple[Observation, Tensor] | None:
    """Two observations of that kind, of known signals, in the precision of the prior's signals;
    None where the operator has no such signals.
    """
    shape, dtype = tuple(prior.event_shape), prior.dtype
    noise = Noise(range(OBSERVATIONS), dtype=DOUBLE)
    x_0 = white(shape).sample(noise).clamp(-0.9, 0.9)
    if kind == "labels":
        return labelled(torch.tensor([0, 1])), x_0.to(dtype)
    operator = OPERATORS[kind](shape)
    if operator is None:
        return None
    likelihood: GaussianLikelihood | PoissonLikelihood | EmissionLikelihood
    if isinstance(operator, Transmission):
        likelihood = PoissonLikelihood(operator)
    elif kind == "emission counts":
        likelihood = EmissionLikelihood(operator, 0.05)
    else:
        likelihood = GaussianLikelihood(operator, _noise(kind, operator, x_0))
    y = likelihood.double().sample(x_0, noise.stream(1))
    return Observation(y.to(dtype), likelihood.to(dtype)), x_0.to(dtype)
