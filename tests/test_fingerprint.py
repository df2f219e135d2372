"""What a fingerprint is made of: every setting that an answer depends on, none that says only how it is come by."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest

from demix.config import Added, Runtime, Settings
from demix.engine.phase import Phase
from demix.engine.runner import EngineSettings, RunOptions
from demix.engine.sequential import SequentialRunner
from demix.fingerprint import changed_runtime, failure_fingerprint, fingerprint, result_settings
from demix.recipe import all_stages, load_settings
from demix.stage import Failed, Kept, Outcome, Stage
from demix.store import Store
from tests.engine.toys import Double, Doubled, ToySettings, clips, rows

CHOICES = {
    "lite": ("lite",),
    "open": ("open",),
    "paper": ("paper",),
    "mixed": ("lite", "caption.model=server", "demixing.two=spleeter_package", "persons.faces=s3fd",
              "active_speaker.model=light_asd", "diarization.model=pyannote", "speaker_tracks.write=false"),
}  # fmt: skip
"""Profile and assignments of the settings whose digests are recorded below."""
RECORDED = {
    "lite": {
        "probe": "293c2b270738d2ad",
        "shots": "329c80be83206d8f",
        "length": "2588a4b895620255",
        "clip_media": "5983bc65a9b114de",
        "audio_quality": "cdb1d402067266ef",
        "quality_filter": "bcc355852f21fa9e",
        "demixing": "7b5c08eaa43fe4eb",
        "demix_filter": "1ff38d7410da6f0a",  # its limits were set for its demixers later
        "persons": "af7118da23a7fede",
        "diarization": "bdd269d8462b36c2",
        "active_speaker": "5756ad360041cd1c",
        "voice_over": "390c8aaf40aef5db",
        "speaker_tracks": "8252ebb4ce1a90a7",
        "caption": "9bd6b750ab1dcb22",
        "subsets": "19feec4ad5acab11",
    },
    "open": {
        "probe": "293c2b270738d2ad",
        "shots": "b77a1328e5424b27",
        "length": "2588a4b895620255",
        "clip_media": "5983bc65a9b114de",
        "audio_quality": "cc708445c273440b",
        "quality_filter": "513b51abfcbf32e9",
        "demixing": "c116c6be06aa5c5e",
        "demix_filter": "9106975c045f8dc0",
        "persons": "fd88831d5c53a32d",
        "diarization": "c849a559c5732b23",
        "active_speaker": "763652afb6ed1318",
        "voice_over": "390c8aaf40aef5db",
        "speaker_tracks": "8252ebb4ce1a90a7",
        "caption": "876336b44781afd6",
        "subsets": "19feec4ad5acab11",
    },
    "paper": {
        "probe": "293c2b270738d2ad",
        "shots": "329c80be83206d8f",
        "length": "2588a4b895620255",
        "clip_media": "5983bc65a9b114de",
        "audio_quality": "cc708445c273440b",
        "quality_filter": "513b51abfcbf32e9",
        "demixing": "57aef069ddcc1c31",
        "demix_filter": "9106975c045f8dc0",
        "persons": "622e78c25113dd98",
        "diarization": "e00492e98ab86819",
        "active_speaker": "d11116b5e1b6fc1b",
        "voice_over": "390c8aaf40aef5db",
        "speaker_tracks": "8252ebb4ce1a90a7",
        "caption": "afaaa479259577ac",
        "subsets": "19feec4ad5acab11",
    },
    "mixed": {
        "probe": "293c2b270738d2ad",
        "shots": "329c80be83206d8f",
        "length": "2588a4b895620255",
        "clip_media": "5983bc65a9b114de",
        "audio_quality": "cdb1d402067266ef",
        "quality_filter": "bcc355852f21fa9e",
        "demixing": "d3c7090c2a2e7efc",
        "demix_filter": "1ff38d7410da6f0a",  # its limits were set for its demixers later
        "persons": "9255e7d21e49ed87",
        "diarization": "c849a559c5732b23",
        "active_speaker": "1561ff5b4e87004e",
        "voice_over": "390c8aaf40aef5db",
        "caption": "81fde84b97bf4d54",
        "subsets": "19feec4ad5acab11",
    },
}
"""Digests of what counted of each stage's settings before there were runtime settings (commit 536c563)."""
RUNTIME = {
    *(f"{stage}.limits" for stage in ("shots", "clip_media")),
    *(f"probe.limits.{name}" for name in (
        "memory_bytes", "output_bytes", "stall_seconds", "probe_seconds", "scan_seconds", "cut_seconds")),
    *(
        f"caption.server.{name}"
        for name in ("start", "launch", "address", "concurrency", "retries", "repairs", "timeout_seconds")
    ),
    *(f"caption.{name}.repairs" for name in ("llava_video", "qwen3_vl")),
    *(f"diarization.scribe.{name}" for name in ("max_hours", "retries", "timeout_seconds", "address")),
    *(f"demixing.spleeter_package.{name}" for name in ("start_seconds", "clip_seconds")),
    *(f"{group}.batch" for group in (
        "shots.transnetv2", "audio_quality.audiobox", "demixing.cdx23", "demixing.bandit_plus", "demixing.spleeter",
        "persons.rtdetr", "persons.yolo", "persons.s3fd", "active_speaker.lr_asd", "active_speaker.light_asd",
        "active_speaker.talknet", "caption.llava_video")),
}  # fmt: skip
"""Settings that change no answer. Whoever adds one to this list says that results do not depend on it."""


def stages(choice: str, *more: str) -> dict[str, Stage]:
    profile, *assignments = CHOICES[choice]
    settings = load_settings(profile, assignments=["speaker_tracks.write=true", *assignments, *more])
    return {stage.name: stage for stage in all_stages(settings)}


def digest(settings: Settings) -> str:
    counted = json.dumps(result_settings(settings), sort_keys=True)
    return hashlib.blake2b(counted.encode(), digest_size=8).hexdigest()


@pytest.mark.parametrize("choice", CHOICES)
def test_work_stores_made_before_there_were_runtime_settings_stay_valid(choice: str) -> None:
    assert {name: digest(stage.settings) for name, stage in stages(choice).items()} == RECORDED[choice]


def leaves(settings: Settings, path: str, runtime: bool = False) -> Iterator[tuple[str, Settings, bool]]:
    """(path, the settings with just that leaf changed, whether it is marked a runtime setting) of every leaf below."""
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        marked = runtime or any(isinstance(mark, Runtime) for mark in field.metadata)
        if isinstance(value, Settings):
            for inner, changed, told in leaves(value, f"{path}.{name}", marked):
                yield inner, settings.model_copy(update={name: changed}), told
        else:
            yield f"{path}.{name}", settings.model_copy(update={name: other(value)}), marked


def other(value: Any) -> Any:
    """Another value that JSON can hold; the settings' own checks are not asked."""
    return (not value) if isinstance(value, bool) else f"{value}?"


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
@pytest.mark.parametrize("choice", CHOICES)
def test_every_setting_of_what_is_chosen_either_counts_or_is_marked(choice: str) -> None:
    """And what is marked makes failures another question, which a changed result setting does anyway."""
    for name, stage in stages(choice).items():
        before = result_settings(stage.settings)
        for path, changed, runtime in leaves(stage.settings, name):
            counts, fails = result_settings(changed) != before, changed_runtime(changed) != {}
            group = path.split(".")[1]
            if group in idle(stage.settings):
                assert (counts, fails) == (False, False), f"{path}: its model is not chosen"
            else:
                assert counts is not runtime, path
                assert fails is runtime, path


def idle(settings: Settings) -> set[str]:
    """Names of the groups that hold settings of models or detectors that are not chosen."""
    marks = {name: mark for name, field in type(settings).model_fields.items() for mark in field.metadata}
    return {name for name, mark in marks.items() if hasattr(mark, "counts") and not mark.counts(settings, name)}


def test_the_runtime_settings_are_these() -> None:
    found: set[str] = set()

    def walk(kind: type[Settings], path: str) -> None:
        for name, field in kind.model_fields.items():
            if any(isinstance(mark, Runtime) for mark in field.metadata):
                found.add(f"{path}.{name}")
            elif isinstance(field.annotation, type) and issubclass(field.annotation, Settings):
                walk(field.annotation, f"{path}.{name}")

    for name, stage in stages("lite").items():
        walk(type(stage.settings), name)
    assert found == RUNTIME


@pytest.mark.parametrize(
    ("choice", "setting"),
    [
        ("lite", "clip_media.limits.cut_seconds=900"),
        ("lite", "shots.limits.max_pixels=99999999"),
        ("lite", "probe.limits.probe_seconds=9"),
        ("open", "shots.adaptive.adaptive_threshold=9"),
        ("open", "shots.gradual.enabled=false"),
        ("mixed", "caption.server.timeout_seconds=9"),
        ("mixed", "caption.server.address=http://127.0.0.1:9/v1"),
        ("paper", "diarization.scribe.max_hours=5"),
        ("lite", "engine.max_attempts=9"),
    ],
)
def test_no_stage_asks_again_for_what_changes_no_answer(choice: str, setting: str) -> None:
    assert prints(choice) == prints(choice, setting)


@pytest.mark.parametrize(
    "setting", ["probe.limits.max_seconds=9", "shots.adaptive.window_frames=3", "clip_media.crf=9"]
)
def test_a_stage_asks_again_for_what_may_change_an_answer(setting: str) -> None:
    assert prints("lite") != prints("lite", setting)


def prints(choice: str, *more: str) -> dict[str, str]:
    """The digests of what counts of every stage's settings."""
    return {name: digest(stage.settings) for name, stage in stages(choice, *more).items()}


class Later(ToySettings):
    seconds: float = 0.0
    limit: Annotated[int, Runtime()] = 5
    """Clips with a higher number fail."""
    once_counted: Annotated[int, Runtime(recorded=7)] = 7
    grace: Annotated[int, Added()] = 0


class Limited(Double):
    def one(self, item: Any) -> Outcome:
        self.note(item)
        assert isinstance(self.settings, Later)
        within = item.clip.ordinal <= self.settings.limit
        return Kept(Doubled(value=item.clip.ordinal)) if within else Failed("Limit", "beyond the limit")


def test_settings_that_came_later_leave_no_trace_at_their_defaults() -> None:
    counted = result_settings(Later())
    assert counted == {**result_settings(ToySettings()), "once_counted": 7}
    assert result_settings(Later(limit=9, once_counted=9)) == counted
    assert result_settings(Later(grace=1)) == {**counted, "grace": 1}


def test_a_failure_holds_for_the_limits_that_it_came_about_under(tmp_path: Path) -> None:
    stage = Limited(Later())
    answers = fingerprint(stage, {})
    assert failure_fingerprint(stage, answers) == answers
    assert failure_fingerprint(Limited(Later(limit=9)), answers) != answers

    def run(limit: int) -> tuple[set[int], dict[str, int]]:
        """Which clips were run, and how all stand."""
        journal = tmp_path / f"j{len(list(tmp_path.iterdir()))}"
        journal.mkdir()
        made = phase(tmp_path / "w", Later(limit=limit))
        made.steps[0].stage.toy = ToySettings(journal=str(journal))  # type: ignore[attr-defined]
        made.run(SequentialRunner, RunOptions(engine=EngineSettings()), lambda row: None)
        ran = {clip.ordinal for clip in clips(12) if (journal / "double" / clip.id).exists()}
        states = [end.state for end in made.ends()]
        return ran, {state: states.count(state) for state in set(states)}

    assert run(5) == (set(range(12)), {"kept": 6, "failed": 6})
    assert run(5) == (set(), {"kept": 6, "failed": 6})
    assert run(8) == (set(range(6, 12)), {"kept": 9, "failed": 3}), "what failed is tried again, what was kept stands"
    assert run(5) == (set(), {"kept": 9, "failed": 3}), "and stands under a lower limit as well"


def phase(root: Path, settings: Later) -> Phase:
    return Phase("toys", [Limited(settings)], Store(str(root)), lambda: rows(clips(12)))


def test_a_store_of_an_earlier_version_goes_on_with_its_own_limits(tmp_path: Path, monkeypatch: Any) -> None:
    """There they counted; with other limits than it was made with, its stages are asked once more."""
    changed = Later(once_counted=9)
    former = fingerprint(Limited(changed), {}, former=True)
    assert former != fingerprint(Limited(changed), {})
    with monkeypatch.context() as earlier:
        earlier.setattr("demix.engine.phase.fingerprint", lambda stage, known, former=False: former_of(stage))
        phase(tmp_path, changed).run(SequentialRunner, RunOptions(), lambda row: None)
    again = phase(tmp_path, changed)
    assert again.steps[0].fingerprint == former
    assert next(again.pending(), None) is None
    assert phase(tmp_path, Later(once_counted=10)).steps[0].fingerprint == fingerprint(Limited(Later()), {})


def former_of(stage: Stage) -> str:
    return fingerprint(stage, {}, former=True)
