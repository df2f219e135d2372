"""Speaker tracks: each speaker's turns and nothing else, for clips with exactly two; and what asks for them."""

from __future__ import annotations

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from demix.config import ConfigError
from demix.media.audio import read_wave, write_flac
from demix.recipe import BuildSettings, clip_stages, load_settings
from demix.records import Clip, Demixing, Diarization, Media, Model, SpeakerTracks, Turn
from demix.stage import Context, Item, Kept
from demix.stages.speaker_tracks import SpeakerTracksSettings, SpeakerTracksStage, gate
from demix.store import Store
from tests.build.running import demix

RATE, SECONDS = 8000, 4
NOBODY = Model(model="none", revision="1")


def turn(start: float, end: float, speaker: int) -> Turn:
    return Turn(start_seconds=start, end_seconds=end, speaker=speaker)


def speech() -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.5, 0.5, (2, RATE * SECONDS)).astype(np.float32)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("store"))
    with store.write("speech.flac") as path:
        write_flac(path, speech(), RATE)
    return store


def tracks(store: Store, *turns: Turn) -> SpeakerTracks:
    clip = Clip(
        id="a" * 16,
        source_id="1" * 16,
        uri="film.mp4",
        kind="web",
        ordinal=0,
        start_pts=0,
        end_pts=96,
        time_base="1/24",
    )
    media = Media(key="speech.flac", bytes=1)
    demixing = Demixing(
        three=NOBODY, two=NOBODY, speech=media, effects=media, music=media, levels_db={}, distances={}, residual_db=0.0,
        gain_db=0.0, confidence={},
    )  # fmt: skip
    speakers = len({each.speaker for each in turns})
    heard = Diarization(model="none", revision="1", turns=turns, speakers=speakers, speech_seconds=1.0, confidence=1.0)
    stage = SpeakerTracksStage(SpeakerTracksSettings(write=True))
    stage.open(Context(store=store, fingerprint="0" * 32))
    (outcome,) = stage.run([Item(clip, {record.name: record for record in (demixing, heard)})])
    assert isinstance(outcome, Kept)
    assert isinstance(outcome.record, SpeakerTracks)
    assert stage.media(outcome.record) == tuple(track.key for track in outcome.record.tracks)
    return outcome.record


def test_each_track_is_its_speakers_turns_sample_by_sample(store: Store) -> None:
    record = tracks(store, turn(0.5, 1.5, 0), turn(1.25, 2.0, 1), turn(3.0, 4.0, 0))
    whole, _ = read_wave(store.local("speech.flac"))
    waves = [read_wave(store.local(track.key)) for track in record.tracks]
    assert [(wave.shape, rate) for wave, rate in waves] == [(whole.shape, RATE)] * 2
    assert [store.local(track.key).stat().st_size for track in record.tracks] == [each.bytes for each in record.tracks]
    first, second = (wave for wave, _ in waves)
    fade = round(0.01 * RATE)
    for wave, spans in ((first, [(0.5, 1.5), (3.0, 4.0)]), (second, [(1.25, 2.0)])):
        silent = np.ones(RATE * SECONDS, bool)
        for start, end in spans:
            inside = slice(round(start * RATE), round(end * RATE))
            assert np.array_equal(wave[:, inside], whole[:, inside])
            silent[max(inside.start - fade, 0) : inside.stop + fade] = False
        assert not wave[:, silent].any()


@pytest.mark.parametrize("speakers", [0, 1, 3])
def test_other_clips_have_none(store: Store, speakers: int) -> None:
    assert tracks(store, *(turn(n, n + 1, n) for n in range(speakers))).tracks == ()


@given(
    turns=st.lists(st.tuples(st.floats(0, 3), st.floats(0, 3)), max_size=5),
    samples=st.integers(1, 300),
    fade=st.floats(0, 0.5),
)
def test_the_gate_is_open_during_turns_and_never_beyond_its_fades(
    turns: list[tuple[float, float]], samples: int, fade: float
) -> None:
    rate = 100
    spans = [(min(pair), max(pair)) for pair in turns]
    gain = gate([turn(start, end, 0) for start, end in spans], samples, rate, fade)
    assert gain.shape == (samples,)
    assert gain.min(initial=0.0) >= 0
    assert gain.max(initial=0.0) <= 1
    opened, reached = np.zeros(samples, bool), np.zeros(samples, bool)
    for start, end in spans:
        opened[round(start * rate) : round(end * rate)] = True
        reached[max(round(start * rate) - round(fade * rate), 0) : round(end * rate) + round(fade * rate)] = True
    assert (gain[opened] == 1).all()
    assert (gain[~reached] == 0).all()
    assert (gain[reached & ~opened] < 1).all()


def test_the_stage_runs_only_where_it_is_asked_for() -> None:
    assert "speaker_tracks" not in [stage.name for stage in clip_stages(BuildSettings())]
    asked = load_settings(assignments=["speaker_tracks.write=true"])
    assert "speaker_tracks" in [stage.name for stage in clip_stages(asked)]
    without = tuple(name for name in asked.order if name != "speaker_tracks")
    with pytest.raises(ConfigError, match="behind diarization"):
        clip_stages(asked.model_copy(update={"order": without}))


def test_the_flag_asks_for_them() -> None:
    for arguments, answer in (((), False), (("--speaker-tracks",), True)):
        ran = demix("config", *arguments)
        assert ran.status == 0
        assert yaml.safe_load(ran.out)["speaker_tracks"]["write"] is answer
