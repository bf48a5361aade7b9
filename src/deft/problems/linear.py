"""Linear problems of images: y = A x_0 + sigma_y eps."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, final

from deft.errors import InvalidInput
from deft.noise import Noise
from deft.operators import blur, colourisation, identity, inpainting, mri, super_resolution
from deft.operators.base import ForwardOperator
from deft.problems.base import NoiseLevel, Problem, unknown
from deft.problems.free_form_masks import FreeFormMasks
from deft.problems.kernels import GaussianKernels, Kernels, MotionKernels
from deft.problems.masks import BoxMasks, CartesianMasks, HalfMasks, Masks, RandomPixelMasks
from deft.storage.cards import card_of
from deft.types import Mask, Signal


@final
class Denoising(Problem):
    """y = x_0 + sigma_y eps."""

    def operator(self, x_0: Signal, noise: Noise) -> ForwardOperator:
        return identity.Identity()

    def card(self) -> dict[str, object]:
        return card_of(self, {"sigma_y": self.sigma_y})


@final
class Inpainting(Problem):
    """y = mask * (x_0 + sigma_y eps).

    `masks` draws each signal's mask: "freeform" (strokes over 20-30 %), "box" (the centred half of
    each side), "random" (10 % of the places kept), "half" (which half drawn per signal), or any
    `Masks`.
    """

    def __init__(self, masks: str | Masks = "freeform", sigma_y: NoiseLevel = 0.0) -> None:
        super().__init__(sigma_y)
        self.masks = part_of(
            "masks", named_masks(masks) if isinstance(masks, str) else masks, Masks
        )

    def operator(self, x_0: Signal, noise: Noise) -> ForwardOperator:
        return inpainting.Inpainting(observing(self.masks, x_0, noise))

    def card(self) -> dict[str, object]:
        return card_of(self, {"masks": self.masks.card(), "sigma_y": self.sigma_y})


@final
class SuperResolution(Problem):
    """y = A x_0 + sigma_y eps, with A an average over blocks of neighbouring places, or antialiased
    bicubic interpolation.

    `factor` is how many places along each axis become one; it divides the signal's sizes.
    """

    def __init__(self, factor: int = 4, kernel: str = "average", sigma_y: NoiseLevel = 0.0) -> None:
        super().__init__(sigma_y)
        self.factor, self.kernel = super_resolution.check_arguments(factor, kernel), kernel
        self._operators: dict[tuple[object, ...], ForwardOperator] = {}

    def operator(self, x_0: Signal, noise: Noise) -> ForwardOperator:
        key = (tuple(x_0.shape[1:]), x_0.device)
        if key not in self._operators:
            self._operators[key] = super_resolution.SuperResolution(
                self.factor, x_0.shape[1:], self.kernel
            ).to(x_0.device)
        return self._operators[key].repeat(
            1
        )  # a copy: moving an observation to another device leaves this one where it is

    def card(self) -> dict[str, object]:
        return card_of(
            self, {"factor": self.factor, "kernel": self.kernel, "sigma_y": self.sigma_y}
        )


@final
class Deblurring(Problem):
    """y = k * x_0 + sigma_y eps, with a kernel per signal.

    `kernel` is "gaussian" (9 places wide, standard deviation 1.5), "motion" (traces of a shaking
    camera, 15 places wide), or any `Kernels`; `border` continues the signal, "circular" (closed
    form) or "reflect" (conjugate gradients), which repeats the edge as scipy's "reflect" does and
    deepinv's does not.
    """

    def __init__(
        self,
        kernel: str | Kernels = "gaussian",
        border: str = "circular",
        sigma_y: NoiseLevel = 0.0,
    ) -> None:
        super().__init__(sigma_y)
        blur.check_border(border)
        self.kernels, self.border = (
            part_of(
                "kernel", named_kernels(kernel) if isinstance(kernel, str) else kernel, Kernels
            ),
            border,
        )

    def operator(self, x_0: Signal, noise: Noise) -> ForwardOperator:
        return blur.Blur(self.kernels.draw(x_0, noise), self.border)

    def card(self) -> dict[str, object]:
        return card_of(
            self, {"kernel": self.kernels.card(), "border": self.border, "sigma_y": self.sigma_y}
        )


@final
class Colourisation(Problem):
    """y = w_r x_r + w_g x_g + w_b x_b + sigma_y eps: the grey picture of one in colour.

    `weights` is how much of red, green and blue is in grey; the luma of BT.601 by default.
    """

    def __init__(
        self,
        weights: tuple[float, float, float] = colourisation.LUMA,
        sigma_y: NoiseLevel = 0.0,
    ) -> None:
        super().__init__(sigma_y)
        self._operator = colourisation.Colourisation(weights)

    def operator(self, x_0: Signal, noise: Noise) -> ForwardOperator:
        return self._operator.repeat(1)

    def card(self) -> dict[str, object]:
        return card_of(self, {"weights": self._operator.weights, "sigma_y": self.sigma_y})


@final
class MRI(Problem):
    """y = M F x_0 + sigma_y eps: lines of frequencies of complex images, (2, height, width),
    measured with a single coil.

    `masks` draws which frequencies each signal has; `CartesianMasks()` by default, one line in
    four.
    """

    def __init__(self, masks: Masks | None = None, sigma_y: NoiseLevel = 0.0) -> None:
        super().__init__(sigma_y)
        self.masks = CartesianMasks() if masks is None else part_of("masks", masks, Masks)

    def operator(self, x_0: Signal, noise: Noise) -> ForwardOperator:
        return mri.MRI(observing(self.masks, x_0, noise))

    def card(self) -> dict[str, object]:
        return card_of(self, {"masks": self.masks.card(), "sigma_y": self.sigma_y})


def part_of(what: str, value: Any, kind: type) -> Any:
    """A distribution of the kind that a problem needs."""
    if not isinstance(value, kind):
        raise InvalidInput(
            what,
            given=type(value).__name__,
            expected=f"a name, or a distribution: deft.problems.{kind.__name__}",
        )
    return value


def observing(masks: Masks, x_0: Signal, noise: Noise) -> Mask:
    """Masks for a batch, one for each or one for all. Raises InvalidInput where they observe
    nothing, and warns where they hide nothing, of any signal.
    """
    drawn, name = masks.draw(x_0, noise), type(masks).__name__
    if tuple(drawn.shape[1:]) != (1, *x_0.shape[2:]) or len(drawn) not in (1, len(x_0)):
        expected = (
            f"({len(x_0)} or 1, 1, {', '.join(map(str, x_0.shape[2:]))}), one channel for all of a "
            "signal"
        )
        raise InvalidInput(
            f"the masks of {name}", given=f"the shape {tuple(drawn.shape)}", expected=expected
        )
    if drawn.is_meta or not drawn.numel():
        return drawn
    if not bool(drawn.any()):
        advice = "invert them: 1 is observed, 0 missing"
        raise InvalidInput(
            f"the masks of {name}",
            given="masks that are 0 everywhere",
            expected="masks that observe something",
            advice=advice,
        )
    if bool((drawn == 1).all()):
        warnings.warn(
            f"the masks of {name} are 1 everywhere in a batch of {len(x_0)}: nothing is missing, "
            "and nothing is learned of filling it in.",
            stacklevel=3,
        )
    return drawn


_KERNELS: dict[str, Callable[[], Kernels]] = {"gaussian": GaussianKernels, "motion": MotionKernels}
_MASKS: dict[str, Callable[[], Masks]] = {
    "freeform": FreeFormMasks,
    "box": BoxMasks,
    "random": RandomPixelMasks,
    "half": HalfMasks,
}


def named_masks(name: str) -> Masks:
    if name not in _MASKS:
        raise unknown(
            "masks",
            name,
            _MASKS,
            "masks of your own are MaskFiles(folder): --problem.masks "
            "MaskFiles --problem.masks.folder FOLDER",
        )
    return _MASKS[name]()


def named_kernels(name: str) -> Kernels:
    if name not in _KERNELS:
        raise unknown("kernel", name, _KERNELS)
    return _KERNELS[name]()
