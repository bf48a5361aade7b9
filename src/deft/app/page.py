"""The page, in Gradio: what a user chooses on the left, what is drawn on the right.

Nothing of it is asked for outside of this machine: fonts are those of the system, and Gradio's own
reports are off.
"""

from __future__ import annotations

import base64
import html
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from deft.app.asked import CHANNELS, SIZES, VALUES, Asked
from deft.app.results import Pictures
from deft.app.words import CLEAN, LABELS, READ
from deft.app.work import Desk, Looked, Said
from deft.reports import figure

HOME = Path(__file__).parent
_PROGRESS = gr.Progress()  # what marks an argument; each call gets one of its own
_HEAD = """# deft app
Samples of what may be behind a measurement, given a diffusion prior and a learned h-transform.
Everything runs on this machine."""


def page(desk: Desk) -> gr.Blocks:
    """The page of a desk."""
    stops: dict[str, threading.Event] = {}
    names = list(desk.names)

    with gr.Blocks(title="deft app", analytics_enabled=False, delete_cache=(600, 3600)) as blocks:
        gr.Markdown(_HEAD)
        with gr.Row():
            with gr.Column(scale=5, min_width=360):
                h = gr.Dropdown(
                    names,
                    value=names[0] if names else None,
                    label=LABELS["h"],
                    info="one that ships, or type a path, a run folder or a hub id",
                    allow_custom_value=True,
                    elem_id="h",
                )
                about = gr.HTML(elem_id="about")
                file = gr.File(
                    label=f"{LABELS['file']}: drop a picture, an npy file or a CT slice",
                    height=130,
                    elem_id="file",
                )
                way = gr.Dropdown([], label=LABELS["way"], elem_id="way")
                seen = gr.HTML(elem_id="seen")
                paint = gr.HTML(
                    value=None,
                    html_template=(HOME / "paint.html").read_text(),
                    js_on_load=(HOME / "paint.js").read_text(),
                    elem_id="paint",
                    picture="",
                    height=0,
                    width=0,
                    paints=False,
                )
                with gr.Row():
                    samples = gr.Number(8, label=LABELS["samples"], precision=0, min_width=70)
                    steps = gr.Number(20, label=LABELS["steps"], precision=0, min_width=70)
                    seed = gr.Number(0, label=LABELS["seed"], precision=0, min_width=70)
                    sigma_y = gr.Number(None, label=LABELS["sigma_y"], min_width=90)
                add_noise = gr.Checkbox(label=CLEAN, visible=False, elem_id="add-noise")
                with gr.Accordion(READ, open=False, elem_id="reading") as reading:
                    size = gr.Radio(list(SIZES), value="as it is", label=LABELS["size"])
                    channels = gr.Radio(
                        list(CHANNELS), value="as they are", label=LABELS["channels"]
                    )
                    values = gr.Radio(list(VALUES), value=VALUES[0], label=LABELS["values"])
                    beside = gr.File(label=LABELS["beside"], height=90, visible=False)
            with gr.Column(scale=6, min_width=380):
                with gr.Row():
                    draw = gr.Button("Draw", variant="primary", elem_id="draw")
                    stop = gr.Button("Stop", interactive=False, elem_id="stop")
                said = gr.HTML(_said(Said("Nothing is drawn yet.")), elem_id="said")
                bar = gr.HTML("", visible=False, elem_id="bar")
                slider = gr.ImageSlider(
                    label="Measurement and mean: move the line",
                    format="png",
                    type="numpy",
                    buttons=["fullscreen"],
                    interactive=False,
                    max_height=430,
                    elem_id="slider",
                )
                with gr.Row():
                    mean = _image("Mean", "mean")
                    std = _image("Standard deviation", "std")
                gallery = gr.Gallery(
                    label="Samples",
                    format="png",
                    columns=4,
                    fit_columns=False,
                    height="auto",
                    object_fit="contain",
                    buttons=[],
                    interactive=False,
                    elem_id="samples",
                )
                with gr.Row():
                    downloads = [
                        gr.DownloadButton(label, visible=False, size="sm", elem_id=name)
                        for label, name in (
                            ("Mean (PNG)", "mean-png"),
                            ("All samples (PNG)", "samples-png"),
                            ("Numbers (npz)", "npz"),
                        )
                    ]
        fields = [h, file, way, paint, beside, sigma_y, add_noise, values, size, channels]
        fields += [samples, steps, seed]

        def chosen_h(name: str) -> list[Any]:
            found, text = desk.ways(name)
            labels = [one.label for one in found]
            return [
                gr.Dropdown(choices=labels, value=labels[0] if labels else None),
                _said(text),
                *_chosen(desk, name, labels[0] if labels else ""),
            ]

        def chosen_way(name: str, label: str) -> list[Any]:
            return _chosen(desk, name, label)

        def looked(*given: Any) -> list[Any]:
            found = desk.look(_asked(*given))
            opened = gr.Accordion(open=True) if found.said.kind == "wrong" else gr.skip()
            return [_said(found.said), _painting(found), opened]

        def drawn(
            request: gr.Request, progress: gr.Progress = _PROGRESS, *given: Any
        ) -> Iterator[list[Any]]:
            asked = _asked(*given)
            session = str(request.session_hash)
            stopping = stops[session] = threading.Event()

            def look(sample: int, step: int, of: int) -> None:
                progress((step, of), desc=f"sample {sample + 1}", unit="steps")

            none = [gr.DownloadButton(visible=False)] * 3
            start = [_said(Said("Waiting ...", "busy")), gr.HTML(visible=True)]
            yield [*start, None, None, None, None, *none, *_busy(True)]
            for one in desk.draw(asked, stopping.is_set, look):
                yield [
                    _said(one),
                    gr.HTML(visible=one.kind == "busy"),
                    *_shown(one.pictures),
                    *(gr.DownloadButton(value=path, visible=True) for path in one.files or ()),
                    *([] if one.files else none),
                    *_busy(one.kind == "busy"),
                ]
            stops.pop(session, None)

        def stopped(request: gr.Request) -> None:
            if str(request.session_hash) in stops:
                stops[str(request.session_hash)].set()

        private: dict[str, Any] = {"api_visibility": "private"}
        quiet = {**private, "show_progress": "hidden", "concurrency_id": "look"}
        after_way = [sigma_y, add_noise, beside]
        gr.on([h.change, blocks.load], chosen_h, [h], [way, about, *after_way], **quiet).then(
            looked, fields, [seen, paint, reading], **quiet
        )
        way.input(chosen_way, [h, way], after_way, **quiet).then(
            looked, fields, [seen, paint, reading], **quiet
        )
        gr.on(
            [file.change, size.input, channels.input, values.input, beside.change],
            looked,
            fields,
            [seen, paint, reading],
            **quiet,
        )
        draw.click(
            drawn,
            fields,
            [said, bar, slider, mean, std, gallery, *downloads, draw, stop],
            concurrency_id="draw",
            show_progress_on=bar,
            **private,
        )
        stop.click(stopped, queue=False, show_progress="hidden", **private)
        blocks.unload(stopped)
    blocks.queue(default_concurrency_limit=1, max_size=desk.limits.waiting, api_open=False)
    built: gr.Blocks = blocks
    return built


def theme() -> gr.themes.Base:
    """The look of the page, with the fonts of the system."""
    plain = ("ui-sans-serif", "system-ui", "sans-serif")
    base = gr.themes.Base(primary_hue="blue", font=plain, font_mono=("ui-monospace", "monospace"))
    return base.set(block_info_text_color="*neutral_600", block_label_text_color="*neutral_700")


def _image(label: str, name: str) -> gr.Image:
    return gr.Image(
        label=label,
        format="png",
        interactive=False,
        buttons=["fullscreen"],
        height=290,
        min_width=150,
        elem_id=name,
    )


def _asked(*given: Any) -> Asked:
    """The fields of the page as a request."""
    h, file, way, painted, beside, sigma_y, add_noise, values, size, channels, *numbers = given
    samples, steps, seed = numbers
    return Asked(
        h=h or "",
        file=None if file is None else Path(file),
        way=way or "",
        painted=painted,
        beside=None if beside is None else Path(beside),
        sigma_y=sigma_y,
        add_noise=bool(add_noise),
        values=values,
        size=size,
        channels=channels,
        samples=samples,
        steps=steps,
        seed=seed,
    )


def _chosen(desk: Desk, name: str, label: str) -> list[Any]:
    """The fields that depend on the way to measure: noise level, added noise, the second file."""
    found = {one.label: one for one in desk.ways(name)[0]}.get(label)
    level = None if found is None else found.sigma_y
    paints, needs = (found.paints, found.needs) if found else (False, "")
    return [
        gr.Number(value=level, interactive=level is not None),
        gr.Checkbox(value=False, visible=paints),
        gr.File(value=None, visible=bool(needs), label=needs.capitalize() or LABELS["beside"]),
    ]


def _painting(found: Looked) -> Any:
    if found.shown is None:
        return gr.HTML(picture="", height=0, width=0, paints=False)
    address = "data:image/png;base64," + base64.b64encode(figure.png(found.shown)).decode()
    height, width = found.shown.shape[:2]
    return gr.HTML(picture=address, height=height, width=width, paints=found.paints)


def _shown(found: Pictures | None) -> list[Any]:
    """Values of slider, mean, standard deviation and gallery; those that are there stay where
    there is nothing new.
    """
    if found is None:
        return [gr.skip(), gr.skip(), gr.skip(), gr.skip()]
    named = [(one, f"sample {j + 1}") for j, one in enumerate(found.samples)]
    return [(found.measurement, found.mean), found.small_mean, found.std, named]


def _busy(busy: bool) -> list[Any]:
    return [gr.Button(interactive=not busy), gr.Button(interactive=busy)]


def _said(said: Said) -> str:
    role = "alert" if said.kind == "wrong" else "status"
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in said.notes)
    below = f"<ul>{notes}</ul>" if notes else ""
    text = html.escape(said.text)
    return f'<div class="deft-said {said.kind}" role="{role}">{text}{below}</div>'
