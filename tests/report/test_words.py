"""Numbers and names as people read them."""

from __future__ import annotations

import pytest

from demix.report import words


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (201, "201"), (1204, "1,204"), (2000, "2K"), (16_600, "16.6K"), (392_000, "392K"), (2_100_000, "2.1M")],
)
def test_short_numbers(value: float, text: str) -> None:
    assert words.short(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (0, "0 s"),
        (2.44, "2.4 s"),
        (59.99, "60.0 s"),
        (90, "1.5 min"),
        (3600, "1 h"),
        (4_334_400, "1,204 h"),
    ],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert words.duration(seconds) == text


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00.0"), (59.96, "1:00.0"), (3723.44, "1:02:03.4"), (None, "–")])
def test_places_on_a_time_line(seconds: float | None, text: str) -> None:
    assert words.clock(seconds) == text


@pytest.mark.parametrize(
    ("share", "text"), [(0, "0 %"), (0.001, "<1 %"), (0.123, "12 %"), (0.999, ">99 %"), (1, "100 %")]
)
def test_shares_say_neither_none_nor_all_of_what_is_not(share: float, text: str) -> None:
    assert words.percent(share) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (-45.0, "−45"),
        (8123.4, "8,123"),
        (0.15, "0.15"),
        (0.123456, "0.1235"),
        (1e-7, "1e−07"),
        (16000, "16,000"),
    ],
)
def test_numbers_have_four_digits(value: float, text: str) -> None:
    assert words.number(value) == text


def test_invisible_characters_are_written_out_and_scripts_are_left_alone() -> None:
    assert words.visible("trailer-\u202e4pm.exe") == "trailer-‹U+202E›4pm.exe"
    assert words.visible("a\x00b\u2028") == "a‹U+0000›b‹U+2028›"
    assert words.visible("نیم\u200cفاصله 会話 Überblick 👩\u200d🚀") == "نیم\u200cفاصله 会話 Überblick 👩\u200d🚀"


def test_identifiers_become_titles_and_class_names_stay() -> None:
    assert words.words("single_character") == "Single character"
    assert words.words("ChildKilled") == "ChildKilled"
    assert [words.nickname(name) for name in ("basic_face", "single_character")] == ["Face", "Single"]


def test_the_films_sound_is_named_with_the_reason() -> None:
    tracks = [
        {"index": index, "layout": layout, "language": language, "title": title, "joined": []}
        for index, layout, language, title in ((1, "stereo", "fre", ""), (3, "5.1(side)", "eng", "Surround"))
    ]
    probe = {"audio": tracks[1], "tracks": tracks, "audio_choice": "marked as default"}
    assert words.describe_sound(probe) == "track 2 of 2, 5.1(side), eng, “Surround” (marked as default)"
    alone = {"audio": tracks[0], "tracks": tracks[:1], "audio_choice": "the only track"}
    assert words.describe_sound(alone) == "stereo, fre (the only track)"
    assert words.describe_sound({"audio": None, "tracks": [], "audio_choice": ""}) == ""
    assert words.describe_sound({"audio": {"index": 1, "layout": "stereo"}}) == ""  # a dataset of before
