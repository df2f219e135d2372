"""The studio's page in a headless Chromium: what a person types becomes a video, with a preview on the way."""

from __future__ import annotations

import importlib.util
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from mtv_train import cli
from mtv_train.sample.device import Place
from tests.mtv_train.sample.making import write_picture, write_tone
from tests.report.browser import Browser, chromium

HERE = importlib.util.find_spec("gradio") is not None
needs_gradio = pytest.mark.skipif(not HERE, reason="gradio is not here (pip install 'demix-dataset[studio]')")


@pytest.mark.skipif(HERE, reason="gradio is here")
def test_without_gradio_the_remedy_is_said(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["studio", str(model)]) == 2
    assert "needs gradio, which is not installed: run `pip install 'demix-dataset[studio]'`" in capsys.readouterr().err


@needs_gradio
def test_fields_of_a_request(tmp_path: Path) -> None:
    from demix.config import validate
    from mtv_train.sample.request import Request
    from mtv_train.sample.studio import fields

    values = ("A street.", "s.wav", None, None, None, True, 3, 20, 2.5, 0, "a.png", 0, None, 8, "b.png")
    request = validate(Request, fields(values))
    assert (request.prompt, request.speech, request.music, request.long) == ("A street.", "s.wav", "", True)
    assert (request.seed, request.steps, request.guidance) == (3, 20, 2.5)
    assert request.keyframes == {0: "a.png", 8: "b.png"}


@needs_gradio
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({6: None}, "Seed: the field is empty; give a number"),
        ({7: None}, "Steps: the field is empty"),
        ({9: None}, "the frame of a keyframe: the field is empty"),
        ({13: 0, 14: "b.png"}, "two pictures are given for frame 0"),
    ],
)
def test_cleared_fields_and_two_pictures_at_a_frame_are_said(
    model: Path, tmp_path: Path, change: dict[int, Any], said: str
) -> None:
    import gradio

    from mtv_train.sample.studio import Studio

    values: list[Any] = ["A street.", None, None, None, None, False, 3, 1, 2.5, 0, "a.png", 0, None, 8, None]
    for place, value in change.items():
        values[place] = value
    studio = Studio(Place("cpu").load(model), tmp_path)
    with pytest.raises(gradio.Error, match=said):
        list(studio.made(*values))


@needs_gradio
def test_who_leaves_ends_the_work_and_the_next_begins_afterwards(model: Path, tmp_path: Path) -> None:
    from mtv_train.sample.studio import Studio

    studio = Studio(Place("cpu").load(model), tmp_path)
    own = studio.maker.pipeline.scheduler
    values = ("A street.", None, None, None, None, False, 3, 40, 2.5)
    first = studio.made(*values)
    assert "read" in next(first)[0]
    assert "Step 1 of 40" in next(first)[0]
    first.close()  # the tab is closed
    second = list(studio.made(*values[:7], 4, 2.5))
    assert [state.partition(" (")[0] for state, *_ in second[1:-1]] == [f"Step {step} of 4" for step in range(1, 5)]
    assert second[-1][0].startswith("Done.")
    assert len(list(tmp_path.glob("*.mp4"))) == 1
    assert studio.maker.pipeline.scheduler is own


def test_two_threads_take_turns(model: Path, tmp_path: Path) -> None:
    from mtv_train.sample.request import Request

    maker = Place("cpu").load(model)
    steps: list[str] = []

    def make(name: str) -> dict[str, Any]:
        request = Request(prompt="A street.", steps=6)
        return maker.make(request, tmp_path / f"{name}.mp4", lambda *_: steps.append(name))

    with ThreadPoolExecutor() as pool:
        one, two = pool.map(make, "ab")
    assert one["video"]["pictures_sha256"] == two["video"]["pictures_sha256"]
    assert "".join(steps) in ("aaaaaabbbbbb", "bbbbbbaaaaaa")


@needs_gradio
def test_a_bad_sound_is_said_on_the_page(model: Path, tmp_path: Path) -> None:
    import gradio

    from mtv_train.sample.studio import Studio

    studio = Studio(Place("cpu").load(model), tmp_path)
    values = ("x", str(tmp_path / "absent.wav"), None, None, None, False, 0, 1, 1.0)
    with pytest.raises(gradio.Error, match="there is no such file"):
        list(studio.made(*values))


@needs_gradio
@pytest.mark.slow
def test_the_page_makes_a_video(model: Path, tmp_path: Path) -> None:
    """Slow: a browser is started."""
    from mtv_train.sample.studio import Studio

    studio = Studio(Place("cpu").load(model), tmp_path / "out")
    address = studio.serve(0, block=False)
    write_tone(tmp_path / "s.wav")
    write_picture(tmp_path / "a.png")
    with chromium(tmp_path / "profile") as browser:
        browser.load(address)
        _wait(browser, "document.querySelector('#prompt textarea') !== null")
        _type(browser, "#prompt textarea", "A street.")
        browser.upload("#speech input[type=file]", tmp_path / "s.wav")
        _wait(browser, "document.querySelector('#speech input[type=file]') === null")
        browser.evaluate("document.querySelector('#make').click()")
        _wait(browser, "/Step \\d+ of 50/.test(document.querySelector('#state').innerText)")
        _wait(browser, "document.querySelector('#preview img') !== null")
        _wait(browser, "document.querySelector('#state').innerText.includes('Done.')")
        _wait(browser, "(document.querySelector('#video video')?.readyState ?? 0) >= 1")
        assert browser.evaluate("document.querySelector('#video video').videoWidth") == 64
        assert "template of speakers" in browser.evaluate("document.querySelector('#state').innerText")
        assert not [error for error in browser.errors if "favicon" not in error]
    [film] = (tmp_path / "out").glob("*.mp4")
    note = json.loads(film.with_suffix(".json").read_text())
    assert note["prompt"] == "A street."
    assert set(note["files"]) == {"speech"}


def _wait(browser: Browser, condition: str, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not browser.evaluate(condition):
        assert time.monotonic() < end, f"not within {seconds:g} s: {condition}\n{_text(browser)}"
        time.sleep(0.2)


def _text(browser: Browser) -> Any:
    return browser.evaluate("document.body.innerText")


def _type(browser: Browser, selector: str, text: str) -> None:
    """As a person's typing reaches the page: the value, and the event."""
    browser.evaluate(
        f"(() => {{ const box = document.querySelector({json.dumps(selector)}); box.value = {json.dumps(text)}; "
        "box.dispatchEvent(new Event('input', {bubbles: true})); })()"
    )
