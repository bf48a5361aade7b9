"""What the page says of results: its title, its findings and its warnings, and values as text.

Nothing here is drawn. The texts are plain, and only that on costs holds markup.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from deft.storage.table import modern
from deft.studies.scores import FEWEST
from deft.studies.words import number, some


def page_title(results: Mapping[str, Any]) -> str:
    count = len(results["methods"])
    side = f"{count} methods side by side" if count > 1 else str(results["methods"][0]["label"])
    return f"{problem_name(results)}, {noise_in_words(results['sigma_y'])}: {side}"


def problem_name(results: Mapping[str, Any]) -> str:
    name = str(modern(results["problem"]).get("class", "Posterior samples")).rsplit(".", 1)[-1]  # type: ignore[attr-defined]
    return {"SuperResolution": "Super-resolution"}.get(name, name)


def post_processing(results: Mapping[str, Any]) -> str:
    """What was done to all samples of all methods before anything was measured."""
    done = ["clipped to the prior's range"] if results["clipped"] else []
    if results.get("aligned"):  # earlier evaluations do not say
        done.append(
            "aligned with the truth before they were averaged or scored, for the measurement is "
            f"blind to {results['aligned']}"
        )
    return f"all samples of all methods {' and '.join(done)}" if done else "none"


def broken_in_words(results: Mapping[str, Any]) -> list[str]:
    """One sentence for each method that drew samples that are not finite."""
    return [
        f"{method['label']}: NaN or infinite values in {method['broken_samples']} of "
        f"{number(method['images'] * results['samples'], 'sample')}"
        f"{_of_images(method.get('broken_images'))}; what is not finite is magenta in the "
        "pictures, and measures over it have no value."
        for method in results["methods"]
        if method.get("broken_samples")
    ]


def _of_images(broken: Sequence[int] | None) -> str:
    """Which images, counted from 1 as in the figures; earlier evaluations do not say."""
    return f" (image {some([str(i + 1) for i in broken])})" if broken else ""


def collapsed(results: Mapping[str, Any]) -> list[str]:
    """One sentence for each method whose samples were chosen by weights that collapsed."""
    return [
        f"{method['label']}: the weights collapsed (effective sample size below 2) on "
        f"{method['collapsed']} of {number(method['images'], 'image')}; its samples there, and "
        "what it says of log p(y), are not to be trusted."
        for method in results["methods"]
        if method.get("collapsed")
    ]


def finding(results: Mapping[str, Any]) -> str:
    """The table in one sentence: who is ahead, and by what rule."""
    ahead: dict[str, list[str]] = {}
    for measure in results["measures"]:
        label = results["best"].get(measure["key"])
        if label is not None:
            ahead.setdefault(label, []).append(measure["title"])
    if results["images"]["count"] < FEWEST:
        return f"With fewer than {FEWEST} images no method is called ahead of another."
    if not ahead:
        return "No method is ahead of all others by more than two standard errors in any measure."
    clauses = [
        f"{label} is ahead of all others in "
        f"{listed([t if t[1:2].isupper() else t[0].lower() + t[1:] for t in titles])}"
        for label, titles in ahead.items()
    ]
    return f"{'; '.join(clauses)}: by more than two standard errors of the paired difference."


def costs(results: Mapping[str, Any]) -> str:
    """What the cost columns count."""
    trained = any(method["training_seconds"] for method in results["methods"])
    parts = [
        " Costs count every signal that was denoised, particles too, per sample that is given."
    ]
    if trained:
        parts.append(
            "<i>Training counted in</i>: shared by the "
            f"{number(results['images']['count'], 'image')} of this comparison, or those that the "
            "method saw."
        )
    if "peak_memory" in results:
        parts.append(f"Peak memory: {escape(results['peak_memory'])}.")
    return " ".join(parts)


def arguments_in_words(results: Mapping[str, Any]) -> Mapping[str, object]:
    arguments = modern(results["problem"]).get("args")  # type: ignore[attr-defined]
    return arguments if isinstance(arguments, Mapping) else {}


def plain(value: object) -> str:
    """A part of a card in one line: a class as Name(argument = value)."""
    value = modern(value)
    if isinstance(value, Mapping) and "class" in value:
        arguments = value.get("args", {k: v for k, v in value.items() if k != "class"})
        inside = (
            ", ".join(f"{k} = {plain(v)}" for k, v in arguments.items())
            if isinstance(arguments, Mapping)
            else ""
        )
        name = str(value["class"]).rsplit(".", 1)[-1]
        return f"{name}({inside})" if inside else name
    if isinstance(value, Mapping):
        return ", ".join(f"{str(k).replace('_', ' ')} {plain(v)}" for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(plain(v) for v in value)}]"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def noise_in_words(sigma_y: Sequence[float]) -> str:
    low, high = min(sigma_y), max(sigma_y)
    if high == 0:
        return "noiseless"
    return (
        f"σ_y = {low:.3g}"
        if high - low < 1e-6 * high
        else f"σ_y between {low:.3g} and {high:.3g}, drawn per image"
    )


def cost_in_words(method: Mapping[str, Any]) -> str:
    evaluations, gradients = (
        method["summary"][key]["value"] for key in ("evaluations", "prior_gradients")
    )
    return f"{evaluations:.0f} evaluations" + (f", {gradients:.0f} gradients" if gradients else "")


def weights_in_words(card: Mapping[str, Any]) -> str:
    """LPIPS, FID and KID: the files that they were computed with, or that there were none."""
    parts = []
    for name, known in card.items():
        digests = (
            ", ".join(digest[:12] for digest in known["sha256"])
            if isinstance(known, Mapping)
            else ""
        )
        parts.append(f"{name} with weights {digests}" if digests else f"{name} {known}")
    return "; ".join(parts)


def in_words(key: str) -> str:
    return key.replace("_", " ").capitalize()


def shape_in_words(shape: Sequence[int]) -> str:
    return " × ".join(str(n) for n in shape)


def interval(value_range: Sequence[float] | None) -> str:
    return f"[{value_range[0]:g}, {value_range[1]:g}]".replace("-", "−") if value_range else "open"


def short(value: float) -> str:
    return f"{value:g}".replace("-", "−")


def listed(names: Sequence[str]) -> str:
    return ", ".join(names[:-1]) + (" and " if len(names) > 1 else "") + names[-1]


def duration(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 120
        else f"{seconds / 60:.0f} min"
        if seconds < 7200
        else f"{seconds / 3600:.1f} h"
    )
