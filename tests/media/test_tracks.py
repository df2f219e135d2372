"""Which of a film's audio tracks is its sound: what the file says of them, the rule, settings, mono tracks."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demix.media.layouts import by_count
from demix.media.probe import probe
from demix.media.tracks import TrackSettings, choose, language_of
from demix.media.whole import read_whole
from demix.records import AudioStream
from tests.media.sound_films import LIMITS, channels, cut_whole, film, level_db, loudest_hz, sine, tone
from tests.media.test_sound import fault

MOV = "mov,mp4,m4a,3gp,3g2,mj2"


def track(index: int, **facts: object) -> AudioStream:
    plain = {"codec": "aac", "sample_rate": 48000, "channels": 2, "layout": "stereo", "time_base": "1/48000",
             "start_pts": 0, "end_pts": 480_000}  # fmt: skip
    return AudioStream.model_validate({**plain, "index": index, **facts})


def number_chosen(tracks: list[AudioStream], apart: tuple[int, ...] = (), **wishes: object) -> tuple[int, str]:
    found, why = choose(tracks, apart, "matroska,webm", TrackSettings.model_validate(wishes))
    assert found is not None
    return tracks.index(found), why


MAIN, DEFAULT = track(7, language="fre"), track(2, disposition=("default",), language="eng")


@pytest.mark.parametrize(
    ("tracks", "wishes", "expected", "why"),
    [
        ([MAIN], {}, 0, "the only track"),
        ([MAIN, DEFAULT], {}, 1, "marked as default"),
        ([track(1, disposition=("default", "comment"), channels=6), MAIN], {}, 1, "no commentary or description"),
        ([track(1, disposition=("default",), title="Director's Commentary"), MAIN], {}, 1, "no commentary"),
        ([track(1, title="Kommentar des Regisseurs"), MAIN], {}, 1, "no commentary"),
        (
            [track(1, disposition=("visual_impaired",)), track(2, disposition=("hearing_impaired",)), MAIN],
            {},
            2,
            "no c",
        ),
        ([track(1, title="English Audio Description"), MAIN], {}, 1, "no commentary or description"),
        ([track(1, disposition=("clean_effects", "default")), MAIN], {}, 1, "no commentary or description"),
        ([MAIN, track(2, channels=6)], {}, 1, "most channels"),
        ([DEFAULT, track(2, channels=6)], {}, 0, "marked as default"),
        ([MAIN, track(2)], {}, 0, "the first of 2 alike"),
        ([DEFAULT, MAIN], {"languages": ["fr"]}, 1, "preferred language"),
        ([DEFAULT, MAIN], {"languages": ["ja", "en-GB", "fra"]}, 0, "preferred language"),
        ([DEFAULT, track(2, language="fra", title="Commentary")], {"languages": ["fr"]}, 0, "no commentary"),
        ([DEFAULT, MAIN], {"languages": ["ja"]}, 0, "marked as default"),
        ([DEFAULT, MAIN, track(3, title="Commentary")], {"sound_track": 2}, 2, "named by probe.sound_track"),
        ([DEFAULT, MAIN], {"sound_track": 2}, 0, "there is no track 2"),
    ],
)
def test_the_rule(tracks: list[AudioStream], wishes: dict[str, object], expected: int, why: str) -> None:
    found, said = number_chosen(tracks, **wishes)
    assert found == expected
    assert why in said


def test_a_track_of_another_programme_is_not_the_films() -> None:
    assert number_chosen([track(1, disposition=("default",), channels=6), MAIN], apart=(1,))[0] == 1


MANY = [
    track(1, title="Commentary", channels=8),
    track(2, disposition=("comment", "default")),
    track(3, channels=1),
    track(4, channels=6),
    track(5, disposition=("descriptions",)),
]


@settings(deadline=None, derandomize=True)
@given(st.permutations(MANY))
def test_the_order_of_the_tracks_decides_only_among_equals(tracks: list[AudioStream]) -> None:
    assert tracks[number_chosen(tracks)[0]].index == 4


@pytest.mark.parametrize(("code", "same"), [("ger", "de"), ("deu", "de"), ("EN-us", "en"), ("und", ""), ("xyz", "xyz")])
def test_codes_of_a_language(code: str, same: str) -> None:
    assert language_of(code) == same


def mono(count: int, **facts: object) -> list[AudioStream]:
    return [track(1 + place, channels=1, layout="mono", channel_names=("FC",), **facts) for place in range(count)]


@pytest.mark.parametrize("count", range(2, 10))
def test_mono_tracks_of_a_master_are_channels_in_its_order(count: int) -> None:
    found, why = choose(mono(count), (), MOV, TrackSettings())
    assert found is not None
    assert found.joined == tuple(range(1, 1 + min(count, 6)))
    assert found.channel_names == by_count(min(count, 6))
    assert f"{count} mono tracks" in why


def test_labelled_mono_tracks_are_what_their_labels_say() -> None:
    names = ("FC", "FL", "FR", "LFE")
    tracks = [track(1 + place, channels=1, channel_names=(name,)) for place, name in enumerate(names)]
    found, _ = choose(tracks, (), "mxf", TrackSettings())
    assert found is not None
    assert found.channel_names == names


@pytest.mark.parametrize(
    ("tracks", "container", "wishes"),
    [
        (mono(4), "matroska,webm", {}),
        (mono(4), MOV, {"join_mono_tracks": False}),
        (mono(4), MOV, {"sound_track": 2}),
        ([*mono(1, language="eng"), track(2, channels=1, language="fra")], MOV, {}),
        ([*mono(1), track(2, channels=1, title="Commentary")], MOV, {}),
        ([*mono(1, title="Interview"), track(2, channels=1, title="Music")], MOV, {}),
        ([*mono(1), track(2, channels=1, end_pts=96_000)], MOV, {}),
        ([track(1), *mono(2)], MOV, {}),
    ],
)
def test_other_mono_tracks_stay_apart(tracks: list[AudioStream], container: str, wishes: dict[str, object]) -> None:
    found, _ = choose(tracks, (), container, TrackSettings.model_validate(wishes))
    assert found in tracks


def test_every_track_is_in_the_record_with_what_the_file_says_of_it(tmp_path: Path) -> None:
    options = ("-c:a", "aac", "-metadata:s:a:0", "language=fre", "-metadata:s:a:1", "language=eng",
               "-metadata:s:a:1", "title=With <b>the director</b>", "-disposition:a:0", "default",
               "-disposition:a:1", "comment")  # fmt: skip
    path = film(tmp_path / "film.mkv", [tone(440), tone(880)], *options)
    known = probe(path, LIMITS)
    assert [(t.language, t.title, t.disposition) for t in known.tracks] == [
        ("fre", "", ("default",)),
        ("eng", "With <b>the director</b>", ("comment",)),
    ]
    assert known.audio == known.tracks[0]
    assert "no commentary" in known.audio_choice
    named = probe(path, LIMITS, TrackSettings(sound_track=1))
    assert named.audio == named.tracks[1]
    made, wave = cut_whole(path, named)
    assert loudest_hz(wave[0], made.sample_rate) == pytest.approx(880, abs=1)


@pytest.mark.parametrize("container", ["mov", "mxf"])
def test_dialogue_in_the_third_of_six_mono_tracks_is_heard(tmp_path: Path, container: str) -> None:
    tones = (
        [tone(hertz, -30) for hertz in (200, 300)] + [tone(440), tone(60)] + [tone(hertz, -30) for hertz in (500, 600)]
    )
    video = ("-c:v", "mpeg2video") if container == "mxf" else ()
    path = film(tmp_path / f"film.{container}", tones, "-c:a", "pcm_s16le", *video)
    made, wave = cut_whole(path)
    assert (made.channels, made.layout) == (2, "6 mono tracks")
    assert made.centre_db == pytest.approx(-20, abs=0.1)
    for side, own, other in ((0, 200, 300), (1, 300, 200)):
        assert level_db(wave[side], 440, made.sample_rate) == pytest.approx(-20, abs=0.1)
        assert level_db(wave[side], own, made.sample_rate) == pytest.approx(-30, abs=0.1)
        assert level_db(wave[side], other, made.sample_rate) < -70
        assert level_db(wave[side], 60, made.sample_rate) < -70  # low-frequency effects
    assert level_db(wave[0], 500, made.sample_rate) == pytest.approx(-33, abs=0.1)


@pytest.mark.parametrize("container", ["mov", "mkv"])
def test_evaluation_reads_the_same_sound_as_the_builder(tmp_path: Path, container: str) -> None:
    """Mono tracks, or 5.1 in one: downmixed alike."""
    parts = [sine(200), "0", sine(440), sine(60), sine(500, -30), "0"]
    sounds = [channels("mono", part) for part in parts] if container == "mov" else [channels("5.1", *parts)]
    path = film(tmp_path / f"film.{container}", sounds, "-c:a", "pcm_s16le" if container == "mov" else "flac")
    _, wave = cut_whole(path)
    whole = read_whole(path, LIMITS, 10)
    assert whole.wave is not None
    assert whole.wave.shape == wave.shape
    assert abs(whole.wave - wave).max() < 1e-3


def test_the_films_of_strangers() -> None:
    for name in ("05_commentary.mkv", "06_mono_tracks.mov"):
        made, wave = cut_whole(fault(name))
        assert loudest_hz(wave[0], made.sample_rate) == pytest.approx(440, abs=1)
