"""The public names by which a card names classes.

    {"class": "Inpainting", "args": {"masks": "box", "sigma_y": 0.05}}

A file can name what stands here, and nothing else: no name that comes out of a file is ever
imported. A new class has its row here (a test walks the package and says which is missing). The
dotted paths of version 0.1, `{"class_path": "deft.problems.Inpainting", "init_args": {...}}`, are
read through the aliases that follow from the rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import final

_PROBLEMS = {
    "deft.problems.linear": "Colourisation Deblurring Denoising Inpainting MRI SuperResolution",
    "deft.problems.multi_coil_mri": "MultiCoilMRI",
    "deft.problems.mixture": "AnyOf RandomProjections",
    "deft.problems.motif": "MotifScaffolding",
    "deft.problems.nonlinear": "HighDynamicRange JPEG NonlinearBlur PhaseRetrieval "
    "PoissonPhaseRetrieval",
    "deft.problems.tomography": "Tomography",
    "deft.problems.own": "BlackBox Fixed",
    "deft.interop.deepinv.problem": "Deepinv",
}
_MASKS = {
    "deft.problems.free_form_masks": "FreeFormMasks",
    "deft.problems.masks": "BoxMasks CartesianMasks HalfMasks MaskFiles RandomPixelMasks RowMasks",
}
_KERNELS = {"deft.problems.kernels": "GaussianKernels MotionKernels"}
_OPERATORS = {
    "deft.interop.deepinv.operators": "DeepinvLinear DeepinvOperator",
    "deft.operators.blur": "CircularBlur ReflectBlur",
    "deft.operators.callable": "CallableOperator",
    "deft.operators.colourisation": "Colourisation",
    "deft.operators.composed": "Composed ComposedLinear",
    "deft.operators.high_dynamic_range": "HighDynamicRange",
    "deft.operators.identity": "Identity",
    "deft.operators.inpainting": "Inpainting",
    "deft.operators.jpeg": "JPEG",
    "deft.operators.matrix": "Matrix",
    "deft.operators.mixed": "Mixed",
    "deft.operators.motif": "AlignedMotif FixedMotif",
    "deft.operators.mri": "MRI",
    "deft.operators.multi_coil_mri": "MultiCoilMRI",
    "deft.operators.nonlinear_blur": "NonlinearBlur",
    "deft.operators.phase_retrieval": "PhaseRetrieval",
    "deft.operators.super_resolution": "SuperResolution",
    "deft.operators.tomography": "Tomography",
    "deft.operators.transmission": "Transmission",
    "deft.operators.units": "InUnits",
    "deft.operators.whitened": "Whitened WhitenedBlackBox WhitenedLinear WhitenedSpectral",
    "deft.operators.whitening": "CholeskyWhitening EntryWeights RootWhitening",
}
_H_TRANSFORMS = {
    "deft.htransforms.backbone": "BackboneHTransform",
    "deft.htransforms.base": "NoConditioning",
    "deft.htransforms.composed": "Scaled Sum",
    "deft.htransforms.calibrated": "Calibrated",
    "deft.htransforms.cfg": "ClassifierFree",
    "deft.htransforms.classifier": "Classifier",
    "deft.htransforms.conditional_score": "ConditionalScore",
    "deft.htransforms.ddnm": "DDNM",
    "deft.htransforms.dps": "DPS",
    "deft.htransforms.exact": "Exact",
    "deft.htransforms.exact_chain": "ExactChain",
    "deft.htransforms.flat": "FlatHTransform",
    "deft.htransforms.gaussian_potential": "GaussianPotential",
    "deft.htransforms.learned": "LearnedHTransform",
    "deft.htransforms.lgd": "LGD",
    "deft.htransforms.mcg": "MCG",
    "deft.htransforms.mmps": "MMPS",
    "deft.htransforms.paper": "PaperHTransform",
    "deft.htransforms.pigdm": "PiGDM",
    "deft.htransforms.tiled": "TiledHTransform",
    "deft.htransforms.skipped": "Skipped",
    "deft.htransforms.tmpd": "TMPD",
}
_SCHEDULES = {"deft.schedules": "EDM RectifiedFlow VE VPCosine VPLinear VPTabulated"}
_PRIORS = {
    "deft.priors.equivariant_backbone": "EquivariantBackbone",
    "deft.priors.unet": "UNetPrior",
}
_SAMPLERS = {
    "deft.samplers.conjugate": "ConjugateIntegrator",
    "deft.samplers.cooled": "Cooled",
    "deft.samplers.daps": "DAPS",
    "deft.samplers.ddim": "DDIM",
    "deft.samplers.ddnm_plus": "DDNMPlus",
    "deft.samplers.ddrm": "DDRM",
    "deft.samplers.diffpir": "DiffPIR",
    "deft.samplers.dpm_solver": "DPMSolver",
    "deft.samplers.heun": "Heun",
    "deft.samplers.informed": "Informed",
    "deft.samplers.red_diff": "REDDiff",
    "deft.samplers.replacement": "Replacement ReplacementAfter",
    "deft.samplers.smc": "ResampledSMC",
    "deft.samplers.unipc": "UniPC",
}
_GRIDS = {
    "deft.samplers.grids": "Karras LogSNRCurve UniformLogSNR UniformTime",
    "deft.samplers.diffpir": "RootTime",
}
_OBJECTIVES = {
    "deft.training.denoising": "DenoisingScoreMatching",
    "deft.training.distillation": "EnergyScore TrajectoryMatching",
}
_FORMER_HOMES = {
    "problem": {"deft.problems.deepinv": "Deepinv"},
    "masks": {
        "deft.operators.masks": "BoxMasks CartesianMasks FreeFormMasks HalfMasks MaskFiles "
        "RandomPixelMasks"
    },
    "kernels": {"deft.operators.kernels": "GaussianKernels MotionKernels"},
    "operator": {"deft.operators.deepinv": "DeepinvLinear DeepinvOperator"},
    "h-transform": {"deft.htransforms.base": "Scaled Sum"},
    "time grid": {
        "deft.samplers.base": "UniformLogSNR UniformTime",
        "deft.samplers.daps": "Karras",
    },
}


@final
@dataclass(frozen=True)
class Kind:
    """A kind of object: the class that it derives from, the home of each public name, and the
    former one of those that have moved.
    """

    name: str
    base: str
    homes: Mapping[str, str]
    former: Mapping[str, str]

    def base_class(self) -> type:
        """The class that all of this kind derive from."""
        return _found(self.base)

    def find(self, name: str) -> type:
        """The class of a public name. Raises KeyError for a name that is not in the table; nothing
        is imported then.
        """
        return _found(f"{self.homes[name]}.{name}")


def _kind(name: str, base: str, rows: Mapping[str, str]) -> Kind:
    return Kind(name, base, _by_class(rows), _by_class(_FORMER_HOMES.get(name, {})))


def _by_class(rows: Mapping[str, str]) -> dict[str, str]:
    return {cls: home for home, classes in rows.items() for cls in classes.split()}


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        _kind("problem", "deft.problems.base.Problem", _PROBLEMS),
        _kind("masks", "deft.problems.masks.Masks", _MASKS),
        _kind("kernels", "deft.problems.kernels.Kernels", _KERNELS),
        _kind("operator", "deft.operators.base.ForwardOperator", _OPERATORS),
        _kind("h-transform", "deft.htransforms.base.HTransform", _H_TRANSFORMS),
        _kind("schedule", "deft.schedules.Schedule", _SCHEDULES),
        _kind("prior", "deft.priors.base.Prior", _PRIORS),
        _kind("sampler", "deft.samplers.base.Sampling", _SAMPLERS),
        _kind("time grid", "deft.samplers.grids.TimeGrid", _GRIDS),
        _kind("objective", "deft.training.base.Objective", _OBJECTIVES),
    )
}


def _paths(homes: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, home in homes.items():
        yield f"{home}.{name}", name
        yield f"{home.rpartition('.')[0]}.{name}", name


ALIASES: dict[str, str] = {
    path: name
    for kind in KINDS.values()
    for homes in (kind.homes, kind.former)
    for path, name in _paths(homes)
}
"""The dotted paths of version 0.1, and the shorter ones of their packages, to public names."""


def _written(home: str, name: str) -> str:
    return f"{'deft.problems' if home.startswith('deft.problems.') else home}.{name}"


_MOVED: dict[str, str] = {
    path: _written(kind.homes[name], name)
    for kind in KINDS.values()
    for path, name in _paths(kind.former)
}


def present(value: object) -> object:
    """A value out of a YAML file with each text that is the former path of a class replaced by the
    present one.
    """
    if isinstance(value, Mapping):
        return {key: present(item) for key, item in value.items()}
    if isinstance(value, list):
        return [present(item) for item in value]
    return _MOVED.get(value, value) if isinstance(value, str) else value


def public_name(cls: type) -> str:
    """The public name of a class of this library; the dotted path of anyone else's."""
    return cls.__name__ if _home(cls) else f"{cls.__module__}.{cls.__qualname__}"


def dotted(cls: type) -> str:
    """The dotted path that a YAML file gives: it stays the same where a class moves into a room of
    its own.
    """
    return _written(_home(cls) or cls.__module__, cls.__qualname__)


def recorded(cls: type) -> str:
    """The dotted path that goes into cards and hashes of operators: that of version 0.1 where a
    class has moved since.
    """
    former = [kind.former.get(cls.__qualname__) for kind in KINDS.values()]
    home = next(filter(None, former), None) if _home(cls) else None
    return dotted(cls) if home is None else f"{home}.{cls.__qualname__}"


def _home(cls: type) -> str:
    """Where the table has a class; empty for one that it does not have."""
    for kind in KINDS.values():
        home = kind.homes.get(cls.__qualname__, "")
        if home and (cls.__module__ == home or cls.__module__.startswith(f"{home}.")):
            return home
    return ""


def modern(value: object) -> object:
    """A value out of a file with the dotted paths of version 0.1 replaced by public names: `class`
    and `args` in place of `class_path` and `init_args`.
    """
    if isinstance(value, Mapping):
        names = {"class_path": "class", "init_args": "args"} if "class_path" in value else {}
        return {
            names.get(key, key): _public(item) if key == "class_path" else modern(item)
            for key, item in value.items()
        }
    return [modern(item) for item in value] if isinstance(value, (list, tuple)) else value


def _public(path: object) -> object:
    return ALIASES.get(path, path) if isinstance(path, str) else path


def _found(path: str) -> type:
    module, _, name = path.rpartition(".")
    result: type = getattr(import_module(module), name)
    return result
