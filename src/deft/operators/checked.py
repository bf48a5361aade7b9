"""What every entry of a forward operator checks of the tensors that it is given, before and after.

Before: a real floating tensor, of the operator's rank, channels and sizes, with no axis of length 0
but the first; of `lift` also finite. These are a few comparisons of Python objects, without a look
at the numbers (`lift`, which is called once for a measurement, looks). After: as many results as
were given. An error that torch raises in between is explained where precision, device, batch or
size say why.

`ForwardOperator` applies `checked` to each class that derives from it, so that a new operator has
all this without a word.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from deft.errors import DeftError, InvalidInput, says_no_memory

if TYPE_CHECKING:
    from deft.operators.base import ForwardOperator

Shape = tuple[int | None, ...]  # without the batch; None: any size

SIGNAL, MEASUREMENT, OTHER = "signal", "measurement", "other"
ENTRIES: dict[
    str, tuple[str, ...]
] = {  # the kinds of the tensors that are given, then that of the result
    "forward": (SIGNAL, MEASUREMENT),
    "surrogate": (SIGNAL, MEASUREMENT),
    "linear": (SIGNAL, MEASUREMENT),
    "coverage": (SIGNAL, OTHER),
    "v_t": (SIGNAL, OTHER),
    "adjoint": (MEASUREMENT, SIGNAL),
    "lift": (MEASUREMENT, SIGNAL),
    "pseudo_inverse": (MEASUREMENT, SIGNAL),
    "solve": (MEASUREMENT, MEASUREMENT),
    "observed": (MEASUREMENT, MEASUREMENT),
    "count": (MEASUREMENT, OTHER),
    "u_t": (MEASUREMENT, OTHER),
    "pull": (SIGNAL, MEASUREMENT, SIGNAL),
}
_COMPLEX = (
    "give the real and the imaginary part as two channels: torch.view_as_real(z).movedim(-1, 1)"
)


def check_entries(cls: type) -> None:
    """Put the checks around every entry that this class, or one that it is mixed with, defines."""
    for entry, kinds in ENTRIES.items():
        method = getattr(cls, entry, None)
        if (
            method is not None
            and not getattr(method, "__isabstractmethod__", False)
            and not hasattr(method, "_checks")
        ):
            setattr(cls, entry, _checked(method, entry, kinds))


def _checked(method: Callable[..., Any], entry: str, kinds: tuple[str, ...]) -> Callable[..., Any]:
    *kinds_given, returned = kinds
    first, names, finite = (
        kinds_given[0],
        list(inspect.signature(method).parameters)[1:3],
        entry == "lift",
    )

    @functools.wraps(method)
    def checked(self: ForwardOperator, *given: Any, **named: Any) -> Any:
        x: Any = given[0] if given else named.get(names[0])
        check(self, entry, names[0], x, first, finite)
        if len(kinds_given) > 1:
            residual: Any = given[1] if len(given) > 1 else named.get(names[1])
            check(self, entry, names[1], residual, kinds_given[1])
            if len(residual) != len(x):
                raise InvalidInput(
                    f"{type(self).__name__}.{entry}({names[1]})",
                    given=f"{len(residual)} measurements",
                    expected=f"{len(x)}, one of each signal",
                )
        try:
            result = method(self, *given, **named)
        except (RuntimeError, IndexError, TypeError, NotImplementedError) as error:
            if (
                isinstance(error, DeftError)
                or (better := _explained(self, entry, names[0], x, error)) is None
            ):
                raise
            raise better from error
        _check_result(self, entry, x, result, returned)
        return result

    checked._checks = True  # type: ignore[attr-defined]
    return checked


def check(
    operator: ForwardOperator, entry: str, name: str, x: Any, kind: str, finite: bool = False
) -> None:
    """Raises `InvalidInput` unless x is a batch of signals, or of measurements, that this operator
    can be asked about.
    """
    shape = operator.signal_shape() if kind == SIGNAL else operator.measurement_shape()
    if not isinstance(x, Tensor) or not x.is_floating_point() or not fits(x, shape, kind):
        raise _refused(operator, f"{type(operator).__name__}.{entry}({name})", name, x, kind, shape)
    if x.is_meta:
        if (real := next((b for b in operator.buffers() if not b.is_meta), None)) is not None:
            given, expected = (
                "a tensor on the device meta, without numbers",
                f"one on {real.device}, where the operator is",
            )
            raise InvalidInput(
                f"{type(operator).__name__}.{entry}({name})", given=given, expected=expected
            )
    elif finite and not _is_finite(x):
        bad = ~x.isfinite().flatten(1)
        raise InvalidInput(
            f"{type(operator).__name__}.{entry}({name})",
            given=f"{int(bad.sum())} of {bad.numel()} entries that are NaN or infinite, in "
            f"{_listed(bad.any(1).nonzero().flatten().tolist())} of the batch",
            expected="finite numbers",
            advice="write 0 where nothing is measured, and leave those places out by the "
            "operator's mask",
        )


def _refused(
    operator: ForwardOperator, what: str, name: str, x: Any, kind: str, shape: Shape | None
) -> InvalidInput:
    if not isinstance(x, Tensor):
        return InvalidInput(
            what,
            given=type(x).__name__,
            expected="a torch.Tensor",
            advice="torch.as_tensor makes one of arrays and lists",
        )
    meaning = operator.signal_is if kind == SIGNAL else operator.measurement_is
    meaning = f", {meaning}" if meaning else ""
    if not x.is_floating_point():
        advice = (
            _COMPLEX
            if x.is_complex()
            else f"use {name}.float(), and scale {name} as the prior's signals are"
        )
        return InvalidInput(
            what,
            given=str(x.dtype),
            expected=f"real floating-point numbers{meaning}",
            advice=advice,
        )
    return InvalidInput(
        what,
        given=f"the shape {tuple(x.shape)}",
        expected=f"{shape_of(shape, kind)}{meaning}",
        advice=_advice(x, shape),
    )


def fits(x: Tensor, shape: Shape | None, kind: str) -> bool:
    """Whether x is (batch, *shape), with at least one entry each."""
    given = x.shape
    if shape is None:
        return len(given) > (1 if kind == SIGNAL else 0) and 0 not in given[1:]
    if len(given) != len(shape) + 1 or 0 in given[1:]:
        return False
    return all([wanted is None or n == wanted for n, wanted in zip(given[1:], shape)])  # noqa: C419  called before every entry


def shape_of(shape: Shape | None, kind: str) -> str:
    """A shape in words: the shape (batch, any, 8, 8)."""
    if shape is None:
        return (
            "the shape (batch, *event), every axis after the first of length >= 1"
            if kind == SIGNAL
            else "a batch, (batch, *measurement)"
        )
    return f"the shape ({', '.join(['batch', *('any' if n is None else str(n) for n in shape)])})"


def _advice(x: Tensor, shape: Shape | None) -> str:
    if shape is None or len(x.shape) != len(shape):
        return ""
    alone = all(wanted is None or n == wanted for n, wanted in zip(x.shape, shape, strict=True))
    return "a single one is a batch of one: add its first axis by [None]" if alone else ""


def _is_finite(x: Tensor) -> bool:
    try:
        return bool(x.detach().isfinite().all())
    except RuntimeError:  # under vmap nothing can be decided by numbers
        return True


def _explained(
    operator: ForwardOperator, entry: str, name: str, x: Tensor, error: Exception
) -> InvalidInput | None:
    """Why torch could not go on with x, where its batch, device, precision or size says it."""
    if says_no_memory(error):
        return None
    what, signals = f"{type(operator).__name__}.{entry}({name})", operator.signals
    if signals not in (1, len(x)):
        return _wrong_batch(operator, entry, name, x)
    held = [b for b in operator.buffers() if b is not None]
    if (elsewhere := next((b for b in held if b.device != x.device), None)) is not None:
        return InvalidInput(
            what,
            given=f"a tensor on {x.device}",
            expected=f"one on {elsewhere.device}, where the operator is",
            advice="move one with .to(device)",
        )
    numbers = next((b for b in held if b.is_floating_point()), None)
    if numbers is not None and numbers.dtype != x.dtype:
        wanted = str(numbers.dtype).removeprefix("torch.")
        return InvalidInput(
            what,
            given=str(x.dtype),
            expected=f"{numbers.dtype}, as the operator's own numbers are",
            advice=f"use {name}.to(torch.{wanted}), or operator.to({name})",
        )
    if x.dtype in (torch.float16, torch.bfloat16):
        return InvalidInput(
            what,
            given=str(x.dtype),
            expected=f"a precision that torch can do this in ({error})".strip(),
            advice=f"use {name}.float()",
        )
    known = operator._known_shapes
    if (
        isinstance(error, (RuntimeError, IndexError))
        and known is not None
        and (shape := known[0 if ENTRIES[entry][0] == SIGNAL else 1]) != x.shape[1:]
    ):
        return InvalidInput(
            what,
            given=f"the shape {tuple(x.shape)}",
            expected=f"{shape_of(tuple(shape), SIGNAL)}, as before; the operator failed with: "
            f"{error}",
        )
    return None


def _wrong_batch(operator: ForwardOperator, entry: str, name: str, x: Tensor) -> InvalidInput:
    return InvalidInput(
        f"{type(operator).__name__}.{entry}({name})",
        given=f"a batch of {len(x)}",
        expected=f"one of {operator.signals}, since the operator has parameters for "
        f"{operator.signals} signals, each its own",
        advice="choose some of its signals by operator.take(index), or measure each several times "
        "by operator.repeat(n)",
    )


def _check_result(operator: ForwardOperator, entry: str, x: Tensor, result: Any, kind: str) -> None:
    """Raises `InvalidInput` unless the result is a real tensor, one of each that was given."""
    what = type(operator).__name__
    if not isinstance(result, Tensor):
        given, advice = f"a {type(result).__name__} as its result", "wrap arrays in torch.as_tensor"
        raise InvalidInput(f"{what}.{entry}", given=given, expected="a torch.Tensor", advice=advice)
    if not result.is_floating_point() and kind is not OTHER:
        advice = _COMPLEX if result.is_complex() else "return .to(x) of it: noise is added to it"
        raise InvalidInput(
            f"{what}.{entry}",
            given=f"a result of {result.dtype}",
            expected="real floating-point numbers",
            advice=advice,
        )
    if not result.ndim or len(result) != len(x):
        if operator.signals not in (1, len(x)):
            raise _wrong_batch(operator, entry, "x_0" if ENTRIES[entry][0] == SIGNAL else "y", x)
        given, expected = (
            f"a result of shape {tuple(result.shape)} for a batch of {len(x)}",
            f"{len(x)} results, one of each",
        )
        advice = (
            "keep the first axis for the signals, and register what each has its own of by "
            "per_signal"
        )
        raise InvalidInput(f"{what}.{entry}", given=given, expected=expected, advice=advice)
    if kind is SIGNAL and not fits(result, operator.signal_shape(), SIGNAL):
        given = f"a result of shape {tuple(result.shape)}"
        raise InvalidInput(
            f"{what}.{entry}", given=given, expected=shape_of(operator.signal_shape(), SIGNAL)
        )
    if entry == "forward":
        operator.__dict__["_known_shapes"] = (x.shape[1:], result.shape[1:])


def _listed(places: list[int]) -> str:
    shown = ", ".join(map(str, places[:8])) + (", ..." if len(places) > 8 else "")
    return f"{'entry' if len(places) == 1 else 'entries'} {shown}"
