"""The page in Chromium: a mask is painted with the mouse, samples come, files are downloaded.

Pictures of each step go to $DEFT_SCREENSHOTS; all that is seen is made by the program: samples of
priors that ship.
"""

import io
import json
import os
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import deft
from deft.data import write_png
from deft.priors import zoo
from tests.app import browser, shown

pytestmark = pytest.mark.browser
WAIT = 120_000  # milliseconds
STROKES = (((0.22, 0.40), (0.71, 0.47)), ((0.55, 0.60), (0.34, 0.83)))
"""Lines in shares of the picture, (from, to), each (x, y)."""
BRUSH = 4  # pixels of the picture


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    """A digit that the prior draws, and a picture in colour that the page cannot take."""
    folder = tmp_path_factory.mktemp("pictures")
    for name, path, seed in (("digits-32", "digit.png", 3), ("natural-64", "colour.png", 3)):
        x = deft.DPMSolver(20)(zoo.load(name), 1, seed=seed)[0, 0]
        write_png(folder / path, x)
    return folder / "digit.png"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    with browser.served(folder, "--h", shown.DIGITS, "--megabytes", "0.5") as (url, log):
        yield url
        asked = log.read_text().split()
        assert "127.0.0.1" in asked, "nothing is watched"
        strangers = [one for one in asked if not browser.is_loopback(one)]
        assert not strangers, f"the server asked {strangers}"
    assert not list(folder.glob("deft-app-*")), "what users dropped is still there"


@pytest.fixture(scope="module")
def chrome():
    with browser.chromium() as found:
        yield found


@pytest.fixture
def page(chrome, server):
    """A fresh page, of which every request is recorded, and must be to this machine."""
    context = chrome.new_context(viewport={"width": 1200, "height": 900}, accept_downloads=True)
    found = context.new_page()
    asked, faults = [], []
    found.on("request", lambda request: asked.append(request.url))
    found.on("pageerror", lambda error: faults.append(str(error)))
    found.goto(server)
    found.locator("#about").get_by_text("32 x 32").wait_for(timeout=WAIT)
    yield found
    context.close()
    assert len(asked) > 10
    assert [url for url in asked if not browser.is_loopback(url)] == []
    assert not faults


def keep(page, name):
    """A picture of the page, where they are asked for."""
    if folder := os.environ.get("DEFT_SCREENSHOTS"):
        page.wait_for_timeout(400)
        page.evaluate("window.scrollTo(0, 0)")
        shot = Image.open(io.BytesIO(page.screenshot(full_page=True))).convert("RGB")
        colours = shot.quantize(256, dither=Image.Dither.NONE)
        colours.save(Path(folder) / f"{name}.png", optimize=True)


def drop(page, *files, into="#file"):
    page.set_input_files(f"{into} input[type=file]", list(map(str, files)))


def ready(page, size="32x32"):
    page.wait_for_selector(f"#paint canvas[data-ready='{size}']", timeout=WAIT)
    page.wait_for_selector("#paint .tools", state="visible", timeout=WAIT)


def paint(page, strokes=STROKES):
    """Draw along the strokes with the mouse; the places where it was, in pixels of the picture."""
    page.locator("#paint canvas").scroll_into_view_if_needed()
    box = page.locator("#paint canvas").bounding_box()
    edge = page.evaluate("document.querySelector('#paint canvas').clientLeft")
    inside = {"x": box["x"], "y": box["y"], "width": box["width"], "height": box["height"]}
    drawn = []
    for start, end in strokes:
        places = [
            (round(inside["x"] + x * inside["width"]), round(inside["y"] + y * inside["height"]))
            for x, y in (start, end)
        ]
        page.mouse.move(*places[0])
        page.mouse.down()
        page.mouse.move(*places[1], steps=9)
        page.mouse.up()
        drawn.append(
            [
                (32 * (x - box["x"]) / box["width"], 32 * (y - box["y"]) / box["height"])
                for x, y in places
            ]
        )
    assert edge <= 1
    return drawn


def distances(strokes, size=32):
    """From the middle of each pixel to the nearest stroke, in pixels of the picture."""
    i, j = np.indices((size, size)) + 0.5
    least = np.full((size, size), np.inf)
    for (ax, ay), (bx, by) in strokes:
        dx, dy = bx - ax, by - ay
        along = np.clip(((j - ax) * dx + (i - ay) * dy) / (dx**2 + dy**2), 0, 1)
        least = np.minimum(least, np.hypot(j - ax - along * dx, i - ay - along * dy))
    return least


def drawn(page, text="samples:"):
    page.click("#draw")
    page.wait_for_function(
        f"document.querySelector('#said').innerText.includes({json.dumps(text)})", timeout=WAIT
    )
    return page.inner_text("#said")


def downloaded(page, name):
    with page.expect_download(timeout=WAIT) as waiting:
        page.click(f"#{name}")
    return Path(waiting.value.path()), waiting.value.suggested_filename


def number(page, label, value):
    page.get_by_label(label, exact=True).fill(str(value))
    page.get_by_label(label, exact=True).press("Tab")


def test_paint_draw_and_download(page, picture):
    keep(page, "1-begin")
    drop(page, picture)
    ready(page)
    strokes = paint(page)
    page.get_by_text("% is missing").wait_for(timeout=WAIT)
    keep(page, "2-painted")
    page.get_by_label("The picture is clean").check()
    number(page, "Samples", 8)
    page.click("#draw")
    counts = set()
    for _ in range(3000):
        said = page.inner_text("#said")
        counts.add(page.locator("#samples img").count())
        if "sample 5 of 8" in said and not (3 in counts and 4 in counts):
            counts.add(page.locator("#samples img").count())
        if "8 samples:" in said:
            break
        page.wait_for_timeout(20)
    assert len({*counts} & {1, 2, 3, 4, 5, 6, 7}) >= 3, f"samples came all at once: {counts}"
    page.wait_for_function("document.querySelectorAll('#samples img').length == 8", timeout=WAIT)
    said = page.inner_text("#said")
    assert said.startswith("8 of 8 samples: misfit ")
    assert 0.8 < float(re.search(r"misfit ([\d.]+)", said)[1].rstrip(".")) < 1.3
    assert page.locator("#slider img").count() == 2
    for name in ("mean", "std"):
        assert page.locator(f"#{name} img").count() == 1
    keep(page, "3-drawn")

    path, name = downloaded(page, "npz")
    assert name == "digit.npz"
    assert zipfile.is_zipfile(path)
    with np.load(path, allow_pickle=False) as found:
        arrays = dict(found)
    depth = BRUSH / 2 - distances(strokes)
    missing = arrays["mask"] == 0
    assert missing[depth > 0.06].all(), "painted, and not missing"  # half a pixel of the screen
    assert not missing[depth < -0.06].any(), "missing, and not painted"
    assert 60 < missing.sum() < 160
    assert (arrays["y"][0][missing] == 0).all()
    assert arrays["samples"].shape == (8, 1, 32, 32)
    np.testing.assert_allclose(arrays["samples"].mean(0), arrays["mean"], atol=1e-5)
    # by the library, with the same measurement and seed
    pipe = deft.load(shown.DIGITS)
    again = pipe(arrays["y"], mask=arrays["mask"], num_samples=8, seed=0)
    np.testing.assert_allclose(again.samples[0].numpy(), arrays["samples"], atol=1e-4)

    path, name = downloaded(page, "mean-png")
    assert name == "digit-mean.png"
    with Image.open(path) as mean:
        assert mean.size == (32, 32)
        pixels = np.clip(np.round(127.5 * (arrays["mean"][0] + 1)), 0, 255)
        assert np.abs(np.asarray(mean)[..., 0] - pixels).max() <= 1
    path, name = downloaded(page, "samples-png")
    assert name == "digit-samples.png"
    with Image.open(path) as sheet:
        assert sheet.width > 11 * 90


def test_the_line_between_measurement_and_mean_moves(page, picture):
    drop(page, picture)
    ready(page)
    paint(page, STROKES[:1])
    number(page, "Samples", 1)
    drawn(page)
    page.wait_for_function("document.querySelectorAll('#slider img').length == 2", timeout=WAIT)
    page.wait_for_timeout(500)
    page.locator("#slider").scroll_into_view_if_needed()
    handle = page.locator("#slider .handle-wrap, #slider .outer, #slider [role=slider]").first
    box, before = handle.bounding_box(), page.locator("#slider").screenshot()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2 + 120, box["y"] + box["height"] / 2, steps=5)
    page.mouse.up()
    page.wait_for_timeout(300)
    assert handle.bounding_box()["x"] > box["x"] + 60
    assert page.locator("#slider").screenshot() != before


def test_erase_undo_and_clear(page, picture):
    drop(page, picture)
    ready(page)
    share = page.locator("#paint .share")
    paint(page, STROKES[:1])
    once = share.inner_text()
    paint(page, STROKES[1:])
    assert share.inner_text() != once
    page.click("#paint button[data-do=undo]")
    assert share.inner_text() == once
    page.click("#paint button[data-do=erase]")
    paint(page, STROKES[:1])
    assert share.inner_text() == "nothing painted"
    page.click("#paint button[data-do=paint]")
    paint(page, STROKES)
    page.click("#paint button[data-do=clear]")
    assert share.inner_text() == "nothing painted"
    assert "Mask: got nothing painted" in drawn(page, "nothing painted")


def test_a_stop_keeps_the_samples_that_are_there(page, picture):
    drop(page, picture)
    ready(page)
    paint(page)
    number(page, "Samples", 64)
    page.click("#draw")
    page.wait_for_function("document.querySelectorAll('#samples img').length >= 2", timeout=WAIT)
    page.click("#stop")
    page.wait_for_function(
        "document.querySelector('#said').innerText.includes('Stopped.')", timeout=WAIT
    )
    count = int(re.search(r"(\d+) of 64 samples", page.inner_text("#said"))[1])
    assert 2 <= count < 40
    with np.load(downloaded(page, "npz")[0]) as found:
        assert len(found["samples"]) == count
    number(page, "Samples", 1)
    assert drawn(page, "1 of 1 samples").startswith("1 of 1")  # the page goes on


def test_one_draws_and_others_wait(page, chrome, server, picture):
    other = chrome.new_page()
    other.goto(server)
    other.locator("#about").get_by_text("32 x 32").wait_for(timeout=WAIT)
    for one in (page, other):
        drop(one, picture)
        ready(one)
        paint(one)
        number(one, "Samples", 64 if one is page else 1)
    page.click("#draw")
    page.wait_for_function("document.querySelectorAll('#samples img').length >= 1", timeout=WAIT)
    other.click("#draw")
    for _ in range(20):
        other.wait_for_timeout(100)
        assert "rawing" not in other.inner_text("#said")
    assert "Drawing" in page.inner_text("#said")
    page.click("#stop")
    other.locator("#said").get_by_text("1 of 1 samples").wait_for(timeout=WAIT)
    assert "Stopped." in page.inner_text("#said")
    other.close()


def test_a_wrong_picture_is_said_on_the_page(page, picture):
    drop(page, picture.parent / "colour.png")
    page.locator("#seen .wrong").wait_for(timeout=WAIT)
    said = page.inner_text("#seen")
    assert "colour.png has 3 channels" in said
    assert 'choose "grey" under Channels' in said
    keep(page, "4-wrong")
    assert "3 channels" in drawn(page, "3 channels")
    page.get_by_label("grey", exact=True).check()
    page.wait_for_function(
        "document.querySelector('#seen').innerText.includes('64 x 64')", timeout=WAIT
    )
    assert "choose under Size" in page.inner_text("#seen")
    page.get_by_label("scale to fit", exact=True).check()
    ready(page)
    assert not page.locator("#seen .wrong").count()


@pytest.mark.parametrize(("side", "said"), [(450, "large.npy: got 0.81 MB"), (900, "MB")])
def test_a_file_that_is_too_large_is_said_on_the_page(page, tmp_path, side, said):
    np.save(tmp_path / "large.npy", np.zeros((side, side), np.float32))
    drop(page, tmp_path / "large.npy")
    where = "#seen .wrong" if said.startswith("large") else "body"  # the second is not taken at all
    page.locator(where).get_by_text(said).first.wait_for(timeout=WAIT)
    assert not page.locator("#paint .tools").is_visible()


def test_another_h_transform_and_a_problem(page, picture):
    box = page.get_by_label("h-transform")
    box.fill("h-digits-32-super-resolution")
    box.press("Enter")
    page.wait_for_function(
        "document.querySelector('#about').innerText.includes('super-resolution')", timeout=WAIT
    )
    drop(page, picture)
    page.wait_for_selector("#paint canvas[data-ready]", timeout=WAIT)
    assert "SuperResolution(factor=4" in page.get_by_label("How it is measured").input_value()
    assert not page.locator("#paint .tools").is_visible()
    number(page, "Samples", 4)
    assert drawn(page).startswith("4 of 4 samples: misfit")
    page.wait_for_function("document.querySelectorAll('#samples img').length == 4", timeout=WAIT)
    keep(page, "5-problem")
    with np.load(downloaded(page, "npz")[0]) as found:
        assert "mask" not in found
        assert found["y"].shape == (1, 8, 8)


def test_an_h_transform_that_is_not_there(page):
    box = page.get_by_label("h-transform")
    box.fill("h-digits-32-impainting")
    box.press("Enter")
    page.locator("#about .wrong").wait_for(timeout=WAIT)
    assert "did you mean h-digits-32-inpainting" in page.inner_text("#about")


def test_nothing_is_wider_than_the_screen(page, picture):
    drop(page, picture)
    ready(page)
    for width in (1200, 800, 390):
        page.set_viewport_size({"width": width, "height": 800})
        page.wait_for_timeout(300)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
