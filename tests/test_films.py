"""The films of the tests are what their truth says: everything else is measured against them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from silero_vad import load_silero_vad

from demix.models.diarization import voice_encoder
from demix.models.faces.mtcnn import MtcnnFaces
from demix.records import SUBSETS
from tests.films import Effect, FilmTruth, Music, Shot, Speech, View, make_film, pictures, sounds, speech
from tests.films.demo import FEATURE, make_demo
from tests.films.soundtrack import level_db
from tests.films.truth import SILENT_BELOW_DB

SHOTS = (
    Shot("rocket", 1.5, begins="fade", transition_seconds=0.5, music=Music(1)),
    Shot("astronaut", 4, View(0.44, 0.25, 0.5), View(0.44, 0.26, 0.46), speech=(Speech("astronaut", 4, at=0.5),)),
    Shot("flower", 2, effects=(Effect("birds"),), begins="dissolve", transition_seconds=0.5),
    Shot("coffee", 1, room_db=None),
    Shot("china", 2.5, effects=(Effect("rain"),), begins="fade", transition_seconds=0.5),
)


def frames_of(path: Path) -> tuple[list[float], np.ndarray]:
    """Presentation seconds and pictures as float32 (frames, height, width)."""
    with av.open(str(path)) as container:
        decoded = [(float(f.pts * f.time_base), f.to_ndarray(format="gray")) for f in container.decode(video=0)]
    return [seconds for seconds, _ in decoded], np.stack([pixels for _, pixels in decoded]).astype(np.float32)


def wave_of(path: Path) -> tuple[float, np.ndarray]:
    """Seconds of the first sample, and float32 (channels, samples)."""
    with av.open(str(path)) as container:
        planar = av.AudioResampler("fltp")
        decoded = [
            (float(f.pts * f.time_base), piece.to_ndarray())
            for f in container.decode(audio=0)
            for piece in planar.resample(f)
        ]
    return decoded[0][0], np.concatenate([wave for _, wave in decoded], axis=1)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, FilmTruth]:
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    return path, make_film(path, SHOTS, keep_stems=True, ends_in_black=0.5)


def stems_of(path: Path, truth: FilmTruth) -> dict[str, np.ndarray]:
    return {name: soundfile.read(path.with_name(file), dtype="float32")[0].T for name, file in truth.stems.items()}


def test_frames_are_counted_and_timed_as_the_truth_says(film: tuple[Path, FilmTruth]) -> None:
    seconds, _ = frames_of(film[0])
    assert len(seconds) == film[1].frames == film[1].shots[-1].end_frame
    assert seconds == pytest.approx(film[1].frame_seconds[:-1], abs=1e-4)


def test_pictures_jump_at_cuts_and_nowhere_else(film: tuple[Path, FilmTruth]) -> None:
    _, pixels = frames_of(film[0])
    jumps = np.abs(np.diff(pixels, axis=0)).mean(axis=(1, 2))
    cuts = [cut - 1 for cut in film[1].cuts]
    calm = np.delete(jumps, cuts)
    assert len(cuts) == 2
    assert jumps[cuts].min() > 2 * calm.max()


def test_transitions_lie_where_the_truth_says(film: tuple[Path, FilmTruth]) -> None:
    """Fades reach black in their middle or at the film's ends; a dissolve mixes what is before and after it."""
    path, truth = film
    _, pixels = frames_of(path)
    opening, dissolve, fade, ending = truth.graduals
    assert pixels[opening[0]].mean() < 0.2 * pixels[opening[1] + 1].mean()
    assert pixels[sum(fade) // 2].mean() < 40 < pixels[fade[0] - 1].mean()
    assert pixels[ending[1]].mean() < 2
    before, middle, after = pixels[dissolve[0] - 1], pixels[sum(dissolve) // 2], pixels[dissolve[1] + 1]
    mixed = np.abs(middle - (before + after) / 2).mean()
    assert mixed < 0.3 * min(np.abs(middle - before).mean(), np.abs(middle - after).mean())


def test_stems_sum_to_the_mix_and_absent_ones_are_silent(film: tuple[Path, FilmTruth]) -> None:
    path, truth = film
    stems = stems_of(path, truth)
    np.testing.assert_allclose(stems["speech"] + stems["effects"] + stems["music"], stems["mix"], atol=1e-6)
    for shot in truth.shots:
        span = slice(*(round(s * truth.sample_rate) for s in (shot.start_seconds, shot.end_seconds)))
        for name in ("speech", "effects", "music"):
            level = level_db(stems[name][:, span])
            assert level == pytest.approx(shot.levels_db[name], abs=0.01)
            assert (level >= SILENT_BELOW_DB) == (name in shot.audible)
    assert [shot.audible for shot in truth.shots] == [("music",), ("speech",), ("effects",), (), ("effects",)]


def test_the_file_holds_the_mix_in_time(film: tuple[Path, FilmTruth]) -> None:
    path, truth = film
    first, wave = wave_of(path)
    mix = stems_of(path, truth)["mix"]
    assert first == 0
    assert wave.shape[1] == pytest.approx(mix.shape[1], abs=2048)
    length = min(wave.shape[1], mix.shape[1])
    shifts = range(-4, 5)
    match = [float(np.vdot(np.roll(wave[:, :length], shift), mix[:, :length])) for shift in shifts]
    assert shifts[int(np.argmax(match))] == 0


def test_speech_begins_and_ends_when_the_truth_says(film: tuple[Path, FilmTruth]) -> None:
    path, truth = film
    (sentence,) = truth.shots[1].speech
    wave = np.abs(stems_of(path, truth)["speech"][0])
    heard = np.flatnonzero(wave > 0.005) / truth.sample_rate
    assert heard[0] == pytest.approx(sentence.start_seconds, abs=0.05)
    assert heard[-1] == pytest.approx(sentence.end_seconds, abs=0.05)
    during = slice(*(round(s * truth.sample_rate) for s in (sentence.start_seconds, sentence.end_seconds)))
    assert level_db(stems_of(path, truth)["speech"][:, during]) == pytest.approx(-20, abs=0.3)


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        (".mkv", {"variable_rate": True, "rate": Fraction(30000, 1001), "audio_codec": "libopus"}),
        (".mkv", {"first_seconds": Fraction(3, 2), "codec": "libx265", "audio_codec": "flac"}),
        (".mp4", {"first_seconds": Fraction(3, 2), "options": {"bf": "0", "g": "250"}}),
        (".webm", {"codec": "libvpx", "audio_codec": "libopus", "channels": 1}),
        (".mov", {"codec": "mpeg4", "audio_codec": "ac3", "rate": 25, "channels": 6}),
        (".mp4", {"size": (97, 55), "audio_codec": None}),
    ],
    ids=["vfr", "x265-late", "mp4-late", "vp8-mono", "mov", "odd-silent"],
)
def test_every_kind_of_file_shows_all_frames_at_their_times(tmp_path: Path, suffix: str, options: dict) -> None:
    path = tmp_path / f"film{suffix}"
    truth = make_film(path, SHOTS[2:4], **{"size": (160, 90), **options})
    seconds, pixels = frames_of(path)
    assert pixels.shape == (truth.frames, truth.height, truth.width)
    shown = np.array(truth.frame_seconds[:-1]) + truth.first_seconds
    assert np.allclose(seconds, shown, atol=0.003)
    assert (np.ptp(np.diff(truth.frame_seconds)) > 0.01) == options.get("variable_rate", False)
    if options.get("audio_codec", "aac"):
        first, wave = wave_of(path)
        assert first == pytest.approx(truth.first_seconds, abs=0.03)
        assert wave.shape[1] / truth.sample_rate == pytest.approx(truth.frame_seconds[-1], abs=0.06)
    else:
        assert truth.sample_rate == 0
        assert not any(shot.audible for shot in truth.shots)


def test_a_film_without_pictures_is_sound_alone(tmp_path: Path) -> None:
    make_film(tmp_path / "sound.mp4", SHOTS[2:3], picture=False)
    with av.open(str(tmp_path / "sound.mp4")) as container:
        assert [stream.type for stream in container.streams] == ["audio"]


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_the_same_shots_make_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    options = {"codec": "libvpx", "audio_codec": "libopus"} if suffix == ".webm" else {}
    for name in "ab":
        make_film(tmp_path / f"{name}{suffix}", SHOTS[1:3], size=(160, 90), **options)
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


shot_lists = st.lists(
    st.builds(
        Shot,
        picture=st.sampled_from(pictures.SCENES),
        seconds=st.floats(0.4, 1.2),
        begins=st.sampled_from(["cut", "dissolve", "fade"]),
        transition_seconds=st.floats(0.1, 0.3),
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=10, deadline=None)
@given(
    shots=shot_lists, rate=st.sampled_from([Fraction(24), Fraction(24000, 1001), Fraction(12)]), variable=st.booleans()
)
def test_shots_fill_the_film_without_gap_or_overlap(
    tmp_path_factory: pytest.TempPathFactory, shots: list[Shot], rate: Fraction, variable: bool
) -> None:
    path = tmp_path_factory.mktemp("any") / "film.mkv"
    truth = make_film(path, shots, rate=rate, variable_rate=variable, size=(32, 18), audio_codec=None)
    edges = [0, *(shot.end_frame for shot in truth.shots)]
    assert [shot.start_frame for shot in truth.shots] == edges[:-1]
    assert edges[-1] == truth.frames == len(frames_of(path)[0])
    begun = {0, *truth.cuts, *(first for first, _ in truth.graduals)}
    assert begun == set(edges[:-1])


def test_a_mouth_opens_and_nothing_else_moves() -> None:
    for name in pictures.PEOPLE:
        picture = pictures.load(name)
        for face in picture.faces:
            opened = pictures.open_mouth(picture.pixels, face, 1.0)
            moved = np.abs(opened.astype(int) - picture.pixels).sum(axis=2) > 30
            ys, xs = np.nonzero(moved)
            assert opened[round(face.y + 0.1 * face.width), round(face.x)].mean() < 60
            assert np.abs(xs - face.x).max() <= 0.7 * face.width
            assert ys.min() >= face.y - 0.6 * face.width
            assert ys.max() <= face.y + 1.4 * face.width


def test_people_are_seen_on_their_pictures_and_nobody_in_the_scenery() -> None:
    detector = MtcnnFaces(smallest=20)
    for name in (*pictures.PEOPLE, *pictures.SCENES):
        picture = pictures.load(name)
        camera = pictures.Camera(picture, View(0.5, 0.4, 0.98), View(0.5, 0.37, 0.9), (640, 360), seed=1)
        for progress in (0.0, 1.0):
            mouths = dict.fromkeys(range(len(picture.faces)), progress)
            (boxes,) = detector.detect(camera.frame(progress, 1.0, mouths)[None])
            sure = sum(box.score >= 0.97 for box in boxes)
            assert sure == len(picture.faces), (name, progress, boxes)


def test_sentences_are_heard_as_speech_and_music_and_effects_are_not() -> None:
    torch.set_num_threads(1)
    model = load_silero_vad()

    def spoken_share(wave: np.ndarray) -> float:
        model.reset_states()
        wave = torch.from_numpy(0.3 * wave.astype(np.float32))[None]
        return float((model.audio_forward(wave, 16000) > 0.5).float().mean())

    for voice in speech.VOICES:
        for line in range(len(speech.LINES)):
            assert spoken_share(speech.say(voice, line, 16000)) > 0.85, (voice, line)
    assert spoken_share(sounds.music(6, 16000, 1)[0]) < 0.05
    for name, effect in sounds.EFFECTS.items():
        assert spoken_share(effect(4, 16000, 1)[0]) < 0.1, name


@pytest.mark.slow
def test_voices_are_told_apart_by_ear() -> None:
    encoder = voice_encoder.load()

    def described(wave: np.ndarray) -> np.ndarray:
        """The mean voice of windows of 1.6 s, half a window apart, of length 1."""
        mel = voice_encoder.mel_spectrogram(wave)
        windows = np.stack([mel[start : start + 160] for start in range(0, max(len(mel) - 160, 0) + 1, 80)])
        with torch.inference_mode():
            mean = encoder(torch.from_numpy(windows)).numpy().mean(0)
        return mean / np.linalg.norm(mean)

    heard = {voice: [described(speech.say(voice, line, 16000)) for line in range(3)] for voice in speech.VOICES}
    for a in speech.VOICES:
        for b in speech.VOICES:
            distances = [1 - float(np.dot(x, y)) for x in heard[a] for y in heard[b]]
            assert max(distances) < 0.2 if a == b else min(distances) > 0.3, (a, b, distances)


def test_the_demo_shows_every_subset_and_every_reason(tmp_path: Path) -> None:
    truth = make_film(tmp_path / "feature.mkv", FEATURE, size=(32, 18), rate=12, audio_codec="flac")
    kept = [shot for shot in truth.shots if not shot.drop]
    assert {name for shot in kept for name in shot.subsets} == set(SUBSETS) - {"basic_face"}
    assert {shot.drop for shot in truth.shots} - {""} == {"too_short", "low_quality", "voice_over", "no_subset"}
    assert 90 <= truth.frame_seconds[-1] <= 150


@pytest.mark.slow
def test_the_demo_is_written_whole(tmp_path: Path) -> None:
    films = make_demo(tmp_path)
    listed = (tmp_path / "sources.csv").read_text(encoding="utf-8").splitlines()
    assert listed[0] == "uri,kind"
    assert {line.rsplit(",", 1)[0] for line in listed[1:]} == {path.name for path in tmp_path.iterdir()} - {
        "sources.csv",
        "truth.json",
    }
    for film in films:
        assert len(frames_of(tmp_path / film.name)[0]) == film.frames
