"""Which of a film's audio tracks is its sound, and why."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated

from pydantic import Field

from demix.config import Added, Settings
from demix.media.layouts import MASTER, by_count, is_named
from demix.records import AudioStream

JOINED_CONTAINERS = ("mov,mp4,m4a,3gp,3g2,mj2", "mxf", "gxf", "lxf")
"""Containers of masters, which may hold every channel in a track of its own."""

_NO_FILM_SOUND = {
    "comment", "visual_impaired", "hearing_impaired", "descriptions", "clean_effects", "karaoke", "lyrics",
    "non_diegetic", "dependent",
}  # fmt: skip
_TOLD_BY_TITLE = re.compile(
    r"comment(ary|aries|aire|ario|ar[iy]|s?\s+by)|kommentar|audio[ -]?descri|described|descriptive|deskription"
    r"|visually impaired|hearing impaired|isolated score|music (and|&) effects|m&e\b|karaoke|\bdvs\b",
    re.IGNORECASE,
)
_CHANNEL_TITLE = re.compile(
    r"(front |rear |surround |back )?(l|r|c|s|left|right|cent(er|re)|lfe|sub|ls|rs|lt|rt|lss|rss|lsr|rsr|mono)"
    r"( (front|rear|surround|back))?|(ch(annel)?|track|audio|a)? ?\d+",
    re.IGNORECASE,
)
_SAME_SECONDS = 1.0
"""Tracks that hold one channel each begin and end together within this."""
_CODES = (
    "en eng", "fr fra fre", "de deu ger", "es spa", "it ita", "pt por", "nl nld dut", "ru rus", "ja jpn", "zh zho chi",
    "ko kor", "ar ara", "hi hin", "pl pol", "sv swe", "da dan", "no nor nb nob", "fi fin", "cs ces cze", "sk slk slo",
    "hu hun", "el ell gre", "tr tur", "he heb", "uk ukr", "ro ron rum", "bg bul", "hr hrv", "sr srp", "sl slv",
    "th tha", "vi vie", "id ind", "ms msa may", "fa fas per", "bn ben", "ta tam", "te tel", "ca cat", "eu eus baq",
    "is isl ice", "et est", "lv lav", "lt lit", "ga gle", "cy cym wel", "ka kat geo", "hy hye arm", "ur urd", "la lat",
)  # fmt: skip
"""ISO 639-1 and 639-2 codes of one language."""
_LANGUAGES: Mapping[str, str] = {code: codes.split()[0] for codes in _CODES for code in codes.split()}


class TrackSettings(Settings):
    """Which track is a film's sound, where it has several."""

    languages: Annotated[tuple[str, ...], Added()] = ()
    """Languages that are preferred, the first most: ISO 639 codes such as `en` or `eng`. Empty: the track that the
    file marks as default."""
    sound_track: Annotated[int | None, Added()] = Field(default=None, ge=0)
    """Number of the track to take among a file's audio tracks, from 0, whatever the rule says. Files with fewer tracks
    go by the rule."""
    join_mono_tracks: Annotated[bool, Added()] = True
    """Whether mono tracks of a master (MOV, MXF, GXF, LXF) that belong together are the channels of one sound. Off:
    only one of them is heard."""


def choose(
    tracks: Sequence[AudioStream], apart: Sequence[int], container: str, settings: TrackSettings
) -> tuple[AudioStream | None, str]:
    """The film's sound and why it was chosen, "" where there is none. `apart`: tracks of another programme."""
    if not tracks:
        return None, ""
    wanted = settings.sound_track
    if wanted is not None and wanted < len(tracks):
        return tracks[wanted], "named by probe.sound_track"
    chosen, why = _by_rule(tracks, apart, settings)
    if wanted is not None:
        why += f" (there is no track {wanted}, which probe.sound_track names)"
    if not settings.join_mono_tracks or container not in JOINED_CONTAINERS:
        return chosen, why
    together = _channels_of(chosen, [track for track in tracks if track.index not in apart])
    return (chosen, why) if len(together) < 2 else (_joined(together), f"{len(together)} mono tracks of one sound")


def language_of(code: str) -> str:
    """A language's code in one form: `eng`, `EN` and `en-GB` are `en`. Empty where none is stated."""
    short = re.split(r"[-_]", code.strip().lower())[0]
    return "" if short in ("und", "mul", "zxx", "mis") else _LANGUAGES.get(short, short)


def is_film_sound(track: AudioStream) -> bool:
    """Whether a track is no commentary, no description and no part of a mix, as far as the file says so."""
    return not _NO_FILM_SOUND.intersection(track.disposition) and not _TOLD_BY_TITLE.search(track.title)


def _by_rule(tracks: Sequence[AudioStream], apart: Sequence[int], settings: TrackSettings) -> tuple[AudioStream, str]:
    """Criterion by criterion those tracks go on that are best in it."""
    preferred = [language_of(code) for code in settings.languages]

    def wish(track: AudioStream) -> int:
        language = language_of(track.language)
        return -preferred.index(language) if language in preferred else -len(preferred)

    criteria: tuple[tuple[str, Callable[[AudioStream], int]], ...] = (
        ("of the pictures' programme", lambda track: track.index not in apart),
        ("no commentary or description", is_film_sound),
        ("preferred language", wish),
        ("marked as default", lambda track: "default" in track.disposition),
        ("most channels", lambda track: track.channels),
    )
    left, reasons = list(tracks), []
    for reason, value in criteria:
        best = max(map(value, left))
        better = [track for track in left if value(track) == best]
        if len(better) < len(left):
            reasons.append(reason)
        left = better
    if len(left) > 1:
        reasons.append(f"the first of {len(left)} alike")
    return left[0], ", ".join(reasons) or "the only track"


def _channels_of(chosen: AudioStream, tracks: Sequence[AudioStream]) -> list[AudioStream]:
    """The mono tracks that are channels of one sound with `chosen`, itself among them; fewer than two: there are none.

    Tracks of another language, codec, rate or length, and those that a title tells apart, are something else.
    """
    if chosen.channels != 1 or not is_film_sound(chosen):
        return []
    alike = [
        track
        for track in tracks
        if (track.channels, track.codec, track.sample_rate) == (1, chosen.codec, chosen.sample_rate)
        and language_of(track.language) == language_of(chosen.language)
        and is_film_sound(track)
        and abs(track.start - chosen.start) < _SAME_SECONDS
        and abs(track.end - chosen.end) < _SAME_SECONDS
    ]
    titles = {track.title for track in alike}
    return alike if len(titles) == 1 or all(_CHANNEL_TITLE.fullmatch(title.strip()) for title in titles) else []


def _joined(tracks: Sequence[AudioStream]) -> AudioStream:
    """One sound of several mono tracks, in the order of the file. Where their channels are not stated they are those of
    a master; what follows 5.1 there (a stereo mix, a second language) is no part of it."""
    names = tuple(track.channel_names[0] if track.channel_names else "" for track in tracks)
    if not is_named(names) or len(set(names)) < len(names):
        tracks = tracks[: len(MASTER)]
        names = by_count(len(tracks))
    update = {
        "channels": len(tracks),
        "layout": f"{len(tracks)} mono tracks",
        "channel_names": names,
        "joined": tuple(track.index for track in tracks),
        "disposition": tuple(sorted({name for track in tracks for name in track.disposition})),
    }
    return tracks[0].model_copy(update=update)
