"""A film of one second, taken through every stage by hand: what `demix doctor` proves an installation with.

It shows a face and says a few syllables, so that every model of a profile has something to answer.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from importlib.resources import as_file, files
from pathlib import Path
from subprocess import PIPE, SubprocessError

from demix import DISTRIBUTION, processes
from demix.engine.runner import EngineSettings
from demix.errors import is_defect, place_of
from demix.media import sandbox
from demix.media.limits import MediaLimits
from demix.records import ClipMedia, Probe, Record, Shots, Source
from demix.sources.discover import discover
from demix.stage import Context, Dropped, Failed, Item, Kept, Stage
from demix.stages.shots import clips_of
from demix.store import Store
from demix.weights import WeightsMissing


class Problem(Exception):
    """What is wrong, and what to do about it."""


class Trial:
    """The film in `folder` and how far it has come. Stages are tried in the order of a build."""

    def __init__(self, folder: Path):
        self.film = folder / "film.mp4"
        self.store = Store(str(folder / "work"))
        self.item: Item | None = None
        """What the next stage is given; None until there is a film."""

    def make(self, ffmpeg: str) -> str:
        """Makes the film with the program `ffmpeg`. What was made, or `Problem`."""
        folder = files(__name__)
        with as_file(folder / "face.jpg") as face, as_file(folder / "voice.ogg") as voice:
            command = [ffmpeg, "-v", "error", "-nostdin", "-y", "-loop", "1", "-framerate", "24", "-i", str(face)]
            command += ["-i", str(voice), "-t", "1", "-pix_fmt", "yuv420p", "-c:v", "libx264", "-c:a", "aac"]
            try:
                done = processes.run([*command, str(self.film)], stdout=PIPE, stderr=PIPE, text=True, timeout=60)
            except (OSError, SubprocessError) as error:
                raise Problem(f"{ffmpeg} does not run ({error})") from error
        if done.returncode:
            said = sandbox.printable(done.stderr).strip().splitlines() or [f"exit status {done.returncode}"]
            raise Problem(f"{ffmpeg} cannot write H.264 and AAC: {said[-1]}; leave clip_media.ffmpeg empty")
        self.item = Item(next(iter(discover([str(self.film)]))))
        return f"one second, a face and a voice, {self.film.stat().st_size:,} bytes"

    def run(self, stage: Stage, engine: EngineSettings) -> str:
        """Opens a stage as a worker would and runs it on the film. What came of it, or `Problem`."""
        revision = stage.revision() or "no model"
        try:
            stage.open(Context(self.store, "doctor", engine.threads, engine.device))
            try:
                return f"{revision}: {self._run(stage)}" if stage.revision() else self._run(stage)
            finally:
                stage.close()
        except Problem:
            raise
        except WeightsMissing as error:
            raise Problem("weights are missing, see above") from error
        except Exception as error:  # whatever a model raises is the finding
            name = getattr(error, "type_name", type(error).__name__)
            if is_defect(error):
                name, remedy = f"{name} in {place_of(error)}", f"; run `pip install --force-reinstall {DISTRIBUTION}`"
            else:
                remedy = ""
            raise Problem(f"{revision}: {name}: {error}{remedy}") from error

    def _run(self, stage: Stage) -> str:
        lacking = self._lacking(stage.needs)
        if self.item is None or lacking:
            raise Problem(f"opened, but not tried: there is no {' and no '.join(lacking) or 'film'}, see above")
        (outcome,) = stage.run([self.item])
        match outcome:
            case Failed(error, message):
                raise Problem(f"{stage.revision()}: {error}: {message}".removeprefix(": "))
            case Dropped(reason):
                return f"ran (drops this film: {reason})"
            case Kept(record):
                self._go_on(record)
        return self._read_back(record) if isinstance(record, ClipMedia) else "ran"

    def _lacking(self, needs: Sequence[type[Record]]) -> list[str]:
        return [kind.name for kind in needs if self.item is None or kind not in self.item]

    def _go_on(self, record: Record | None) -> None:
        assert self.item is not None
        self.item = self.item.with_record(record)
        if isinstance(record, Probe):
            source = Source(id=record.sha256[:16], uri=str(self.film), kind="cinematic")
            self.item = Item(source, {record.name: record})
        elif isinstance(record, Shots):
            assert isinstance(self.item.subject, Source)
            probe = self.item[Probe]
            (clip, *_) = clips_of(self.item.subject, probe, record)
            self.item = Item(clip, {probe.name: probe})

    def _read_back(self, media: ClipMedia) -> str:
        """Decodes what was cut. Raises `Problem` where that is not what the record says."""
        path = self.store.local(media.video.key)
        arguments = {"path": str(path), "spans": [["mp4", 0, path.stat().st_size]]}
        with closing(sandbox.stream("demix.media.measure:members", arguments, MediaLimits(), seconds=60)) as records:
            found = json.loads(next(records))
        if found.get("frames") != media.frames:
            raise Problem(f"{media.frames} frames were written, {found.get('frames', found.get('error'))} come back")
        return f"cut and read back, {media.frames} frames of {media.width} x {media.height}"
