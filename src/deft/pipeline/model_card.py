"""The model card of an h-transform: README.md with a header in YAML, from what its own card says.

Nothing stands here that is not on the card in its file, which is what is read; texts of the card
are shown as code, whoever wrote them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from deft.metrics.intervals import Intervals
from deft.priors import zoo
from deft.storage import hub
from deft.storage.cards import described

_USE = """```python
from deft import DeftPipeline

pipe = DeftPipeline.from_pretrained("{place}"{allow})
answers = pipe(measurements{operator}, num_samples=8, seed=0)
print(answers)                     # the misfit of each answer, and its verdict
answers.picture(0).save("restored.png")
```"""
_SAID_BY = {
    "Inpainting": ", mask=mask",
    "MRI": ", mask=mask",
    "Deblurring": ", kernel=kernel",
    "NonlinearBlur": ", kernel=kernel",
}


_DISTILLED = "distilled into the prior, which is then no mean of x_0 under a density"


def text(card: Mapping[str, Any], sheet: str | None = None) -> str:
    """The card as Markdown; `sheet` is the name of a picture of samples beside it."""
    name = str(card.get("prior_from"))
    problem: Any = card.get("problem") or {}
    kind = str(problem.get("class", "unknown"))
    parts = [
        _header(card, name, kind),
        f"# An h-transform for {_code(kind)} on {_code(name)}",
        "It turns a frozen diffusion prior into a sampler of the posterior given a measurement "
        "(DEFT, Denker et al. 2024, arXiv:2406.01781).\n"
        "This repository holds the h-transform alone; the prior is somebody else's, and is "
        "downloaded only where you allow it.",
        "![samples](" + sheet + ")" if sheet else "",
        "## Use",
        _USE.format(
            place="FOLDER",
            allow=", allow_prior=True" if hub.is_id(name) else "",
            operator=_SAID_BY.get(kind, ""),
        ),
        "FOLDER is this folder, or the id of this repository.",
        "## What it is",
        _facts(card, name, problem),
        *_metrics(card),
        *_intervals(card),
        *_alarm(card),
        "## Licences",
        _licences(card),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _header(card: Mapping[str, Any], name: str, kind: str) -> str:
    import yaml

    said = _published(card)
    head: dict[str, object] = {"library_name": "deft-diffusion", "pipeline_tag": "image-to-image"}
    if said.get("license"):
        head["license"] = said["license"]
    if hub.is_id(name):
        head |= {"base_model": name, "base_model_relation": "adapter"}
    head["tags"] = ["deft", "diffusion", "h-transform", "inverse-problems", kind.lower()]
    body: str = yaml.safe_dump(head, sort_keys=False, allow_unicode=True)
    return f"---\n{body}---"


def _facts(card: Mapping[str, Any], name: str, problem: Mapping[str, Any]) -> str:
    prior, said = card["prior"], _published(card)
    rows = [
        ("prior", _code(name) + (" (ships with the library)" if name in zoo.names() else "")),
        ("revision of the prior", _code(said.get("prior_revision"))),
        ("hash of the prior", _code(prior.get("hash"))),
        ("shape of a signal", _code(" x ".join(map(str, prior["event_shape"])))),
        ("guidance", _DISTILLED if prior.get("guidance_distilled") else ""),
        ("problem", _code(described(problem))),
        ("architecture", _code(card["architecture"].get("class"))),
        *_sampler(card),
        ("weight on what y adds", "" if card.get("weight") is None else str(card["weight"])),
        *_units(card),
        *_training(card),
    ]
    return _table(("", ""), [row for row in rows if row[1]])


def _sampler(card: Mapping[str, Any]) -> list[tuple[str, str]]:
    said = card.get("sampler")
    if not isinstance(said, Mapping):
        return [("sampler", "none was validated; the usual one is `DPMSolver(20)`")]
    if said.get("images") is None:
        return [("sampler, not validated", _code(described(said["made"])))]
    rows = [("sampler that was validated", _code(described(said["made"])))]
    for key, what in (("misfit", "misfit, 1 is right"), ("psnr", "PSNR of a sample (dB)")):
        if said.get(key) is not None:
            rows.append((f"{what}, on {said['images']} held-out images", f"{said[key]:.3g}"))
    return rows


def _units(card: Mapping[str, Any]) -> list[tuple[str, str]]:
    said = card.get("units")
    said = said if isinstance(said, Mapping) else {}
    rows = []
    if said.get("value_range") is not None:
        rows.append(("range of the signals", _code(said["value_range"])))
    if said.get("window") is not None:
        rows.append(("what that range means (HU)", _code(said["window"])))
    return rows


def _training(card: Mapping[str, Any]) -> list[tuple[str, str]]:
    said = card.get("training")
    if not isinstance(said, Mapping):
        return []
    shown = {k: said[k] for k in ("steps", "signals", "batch_size", "recipe") if k in said}
    return [("training", _code(", ".join(f"{k} {v}" for k, v in shown.items())))] if shown else []


def _metrics(card: Mapping[str, Any]) -> list[str]:
    said = card.get("metrics")
    if not isinstance(said, Mapping) or said.get("loss") is None:
        return []
    rows = [("all", f"{said['loss']:.3g}", _number(said.get("without")))]
    for one in said.get("bins") or ():
        span = f"{one['low']:g} to {one['high']:g}"
        rows.append((span, f"{one['loss']:.3g}", _number(one.get("without"))))
    heads = ("log-SNR", "held-out loss", "without the h-transform")
    return ["## How well it was learned", _table(heads, rows)]


def _intervals(card: Mapping[str, Any]) -> list[str]:
    found = Intervals.of(card)
    if found is None:
        return []
    return ["## Calibrated intervals", f"```\n{_plain(found.table(), lines=True)}\n```"]


def _alarm(card: Mapping[str, Any]) -> list[str]:
    said = card.get("alarm")
    if not isinstance(said, Mapping):
        return []
    return [
        "## Alarm",
        f"The reference of {said['images']} held-out images tells answers that are as usual from "
        "those that are not: each answer has a verdict, for the validated sampler and at least "
        f"{min(said['samples'])} samples.",
    ]


def _licences(card: Mapping[str, Any]) -> str:
    said = _published(card)
    own, prior = said.get("license"), said.get("prior_license")
    return "\n".join(
        [
            f"- h-transform: {_code(own) if own else 'not said by its author'}",
            f"- prior: {_code(prior) if prior else 'not said here; see where it is hosted'}",
        ]
    )


def _published(card: Mapping[str, Any]) -> Mapping[str, Any]:
    said = card.get("published")
    return said if isinstance(said, Mapping) else {}


def _number(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, (int, float)) else ""


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _code(value: object) -> str:
    """A text as code, which no Markdown of its own gets out of; empty for nothing."""
    return "" if value is None or value == "" else f"`{_plain(str(value))}`"


def _plain(value: str, lines: bool = False) -> str:
    kept = "".join(c if c.isprintable() or (lines and c == "\n") else " " for c in value)
    return kept.replace("`", "'") if lines else kept.replace("`", "'").replace("|", "/")
