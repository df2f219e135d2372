"""A local page to sample with: text, tracks or a mixture, keyframes; progress with a preview; the video. Gradio."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from torch import Tensor

from demix.config import ConfigError, validate
from mtv_train.sample.make import Maker
from mtv_train.sample.request import Request

KEYFRAMES = 3
"""Rows for keyframes on the page."""
PREVIEWS = 10
"""Pictures shown on the way."""
TRACKS = ("speech", "effects", "music")
FONTS = {"font": ["system-ui", "sans-serif"], "font_mono": ["monospace"]}
"""Those of the machine, so that the page asks nobody on the internet."""


@dataclass(frozen=True)
class Step:
    """One moment on the way: what is done, and perhaps a picture, uint8 (height, width, 3)."""

    done: int
    total: int
    picture: np.ndarray | None


class _Left(Exception):
    """Nobody waits for this video any more."""


@dataclass
class Studio:
    """The page around one model. One video is made at a time; others wait."""

    maker: Maker
    out: Path

    def serve(self, port: int, *, block: bool = True) -> str:
        """Serves the page on this machine alone, until interrupted or, without `block`, until the process ends; its
        address."""
        self.out.mkdir(parents=True, exist_ok=True)
        page = self.page().queue(default_concurrency_limit=1)
        _, address, _ = page.launch(
            server_name="127.0.0.1",
            server_port=port or None,
            share=False,
            ssr_mode=False,
            run_history=False,
            footer_links=[],
            theme=gr.themes.Default(**FONTS),
            allowed_paths=[str(self.out.absolute())],
            prevent_thread_lock=not block,
        )
        return address

    def page(self) -> gr.Blocks:
        """The page itself."""
        with gr.Blocks(title="MTV studio", analytics_enabled=False) as page:
            gr.Markdown(f"# MTV studio\n{self.maker.model['folder']}")
            with gr.Row():
                with gr.Column():
                    given = self._inputs()
                    make = gr.Button("Make the video", variant="primary", elem_id="make")
                with gr.Column():
                    state = gr.Markdown("", elem_id="state")
                    preview = gr.Image(label="on the way", interactive=False, elem_id="preview")
                    video = gr.Video(label="video", interactive=False, elem_id="video")
                    sidecar = gr.File(label="how it was made", interactive=False, elem_id="sidecar")
            make.click(self.made, given, [state, preview, video, sidecar], api_name="make")
        return page

    def _inputs(self) -> list[Any]:
        """Components, in the order in which `fields` takes their values."""
        prompt = gr.Textbox(
            label="Prompt", lines=3, elem_id="prompt", placeholder="One person conversation. Persons: …"
        )
        with gr.Tab("Tracks"):
            tracks = [gr.Audio(label=name, type="filepath", elem_id=name) for name in TRACKS]
        with gr.Tab("One mixture"):
            audio = gr.Audio(label="Taken apart into speech, effects and music", type="filepath", elem_id="audio")
        with gr.Accordion("Keyframes", open=False):
            keyframes: list[Any] = []
            for number in range(KEYFRAMES):
                with gr.Row():
                    keyframes.append(gr.Number(label="frame", value=0, precision=0, elem_id=f"frame{number}"))
                    keyframes.append(gr.Image(label="picture", type="filepath", elem_id=f"picture{number}"))
        with gr.Accordion("Settings", open=False):
            long = gr.Checkbox(label="As long as the sound", elem_id="long")
            seed = gr.Number(label="Seed", value=0, precision=0, elem_id="seed")
            steps = gr.Slider(1, 100, 50, step=1, label="Steps", elem_id="steps")
            guidance = gr.Slider(1, 10, 3.5, step=0.1, label="Guidance", elem_id="guidance")
        return [prompt, *tracks, audio, long, seed, steps, guidance, *keyframes]

    def made(self, *values: Any) -> Iterator[tuple[str, Any, str | None, str | None]]:
        """State, preview (an update without value leaves it as it is), video and sidecar, again and again until the
        video is there."""
        try:
            request = validate(Request, fields(values)).resolved(Path())
        except ConfigError as error:
            raise gr.Error(str(error)) from error
        film = self.out / f"{time.strftime('%Y%m%d-%H%M%S')}-{time.monotonic_ns() % 10**6:06}.mp4"
        yield "The sound is read …", None, None, None
        for happened in self._happenings(request, film):
            if isinstance(happened, ConfigError):
                raise gr.Error(str(happened))
            if isinstance(happened, Exception):
                raise happened
            if isinstance(happened, Step):
                # A picture sent twice would be written again to the file that the browser may be reading.
                picture = gr.skip() if happened.picture is None else happened.picture
                share = happened.done / happened.total
                yield f"Step {happened.done} of {happened.total} ({share:.0%})", picture, None, None
            else:
                notes = "".join(f"\n- {remark}" for remark in happened["remarks"])
                name = str(film.absolute())
                yield f"Done.{notes}", gr.skip(), name, str(Path(name).with_suffix(".json"))

    def _happenings(self, request: Request, film: Path) -> Iterator[Step | dict[str, Any] | Exception]:
        """What goes on while a video is made in a thread of its own; the last is its sidecar, or what went wrong.

        Whoever leaves before (a closed tab, a cancelled job) ends the work at its next step.
        """
        happened: queue.Queue[Step | dict[str, Any] | Exception] = queue.Queue()
        left = threading.Event()

        def told(done: int, total: int, latents: Tensor) -> None:
            if left.is_set():
                raise _Left
            due = done == 1 or done * PREVIEWS // total > (done - 1) * PREVIEWS // total
            happened.put(Step(done, total, self._preview(latents) if due else None))

        def work() -> None:
            try:
                happened.put(self.maker.make(request, film, told, keep=False))
            except _Left:
                pass  # nobody is there any more who would read what happened
            except Exception as error:  # handed to the page, which shows it
                happened.put(error)

        threading.Thread(target=work, daemon=True).start()
        try:
            while True:
                event = happened.get()
                yield event
                if not isinstance(event, Step):
                    return
        finally:
            left.set()

    def _preview(self, latents: Tensor) -> np.ndarray | None:
        """The middle latent frame as it stands; nothing where the VAE waits elsewhere (offloading)."""
        if hasattr(self.maker.pipeline.vae, "_hf_hook"):
            return None
        middle = latents.shape[1] // 2
        shown: np.ndarray = self.maker.pipeline.shown(latents[:, middle : middle + 1])[0, 0].numpy()
        return shown


def fields(values: Sequence[Any]) -> dict[str, Any]:
    """Fields of a `Request` from the values of the page's inputs. Raises `ConfigError` for a field that was cleared, or
    two pictures at one frame."""
    prompt, speech, effects, music, audio, long, seed, steps, guidance, *keyframes = values
    named = {"prompt": prompt, "speech": speech, "effects": effects, "music": music, "audio": audio}
    pictures: dict[int, str] = {}
    for frame, picture in zip(keyframes[::2], keyframes[1::2], strict=True):
        if not picture:
            continue
        number = int(_number(frame, "the frame of a keyframe"))
        if number in pictures:
            raise ConfigError(f"two pictures are given for frame {number}; each frame can show one")
        pictures[number] = picture
    return {
        **{name: value for name, value in named.items() if value},
        "keyframes": pictures,
        "long": bool(long),
        "seed": int(_number(seed, "Seed")),
        "steps": int(_number(steps, "Steps")),
        "guidance": _number(guidance, "Guidance"),
    }


def _number(value: Any, what: str) -> float:
    """The value of a field for numbers, which is None where it was cleared."""
    if not isinstance(value, int | float):
        raise ConfigError(f"{what}: the field is empty; give a number")
    return float(value)
