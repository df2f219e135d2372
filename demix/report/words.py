"""Numbers and names as people read them: the filters of the page's templates."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping
from typing import Any

JOINERS = "\u200c\u200d"
"""Invisible, but part of how some scripts are written."""

NAMES = {
    "talking_head": "Talking heads",
    "cinematic": "Films",
    "web": "Web video",
    "clip_media": "Cutting",
    "around": "Reading, writing",
    "demix_filter": "Dual-demixing check",
    "demix_three": "Demixing, three stems",
    "demix_two": "Demixing, two stems",
    "voice_over": "Voice-over",
    "length": "Length",
    "subsets": "Subset division",
    "captioning": "Captioning",
    "caption": "Captioning",
    "shots": "Shot detection",
    "changing": "Bars that change",
}


def words(name: str) -> str:
    """An identifier as a title: `single_character` → `Single character`; class names stay as they are."""
    return NAMES.get(name) or (name if name != name.lower() else name.replace("_", " ").capitalize())


def nickname(subset: str) -> str:
    """A subset in one word."""
    return {"basic_face": "Face", "sound_event": "Sound", "visual_mood": "Mood"}.get(subset, words(subset).split()[0])


def visible(text: str) -> str:
    """A stranger's text with invisible characters written out: nothing can be made to read `4pm.exe` that is not."""
    return "".join(f"‹U+{ord(char):04X}›" if _invisible(char) else char for char in text)


def _invisible(char: str) -> bool:
    return char not in JOINERS and unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp")


def describe_sound(probe: Mapping[str, Any]) -> str:
    """A Probe record's choice of the film's sound, and why; empty for records of before, which do not say it."""
    audio, tracks = probe.get("audio"), probe.get("tracks")
    if not audio or not tracks:
        return ""
    number = next(place for place, track in enumerate(tracks, 1) if track["index"] == audio["index"])
    language = "" if audio["language"] == "und" else audio["language"]
    which = [] if len(tracks) == 1 or audio["joined"] else [f"track {number} of {len(tracks)}"]
    facts = [*which, audio["layout"], language, audio["title"] and f"“{audio['title']}”"]
    return f"{', '.join(filter(None, facts))} ({probe['audio_choice']})"


def count(number: float) -> str:
    """12345 → 12,345"""
    return f"{number:,.0f}"


def short(number: float) -> str:
    """392000 → 392K; small numbers as they are."""
    for size, letter in ((1e6, "M"), (1e3, "K")):
        if number >= 10 * size or (number >= size and number % (size / 10) == 0):
            return f"{number / size:.3g}{letter}"
    return count(number)


def duration(seconds: float | None) -> str:
    """A length in the largest fitting unit: `2.4 s`, `12 min`, `3.2 h`, `1,204 h`."""
    if seconds is None:
        return "–"
    for unit, size in (("h", 3600.0), ("min", 60.0)):
        if seconds >= size:
            amount = seconds / size
            return f"{amount:,.0f} {unit}" if amount >= 100 else f"{amount:.3g} {unit}"
    return f"{seconds:.1f} s" if seconds else "0 s"


def clock(seconds: float | None) -> str:
    """A place on a time line: `1:02:03.4`."""
    if seconds is None:
        return "–"
    minutes, rest = divmod(round(seconds, 1), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02d}:{rest:04.1f}" if hours else f"{minutes}:{rest:04.1f}"


def percent(share: float) -> str:
    """0.123 → 12 %; never 0 % or 100 % of what is not quite that."""
    if 0 < share < 0.005:
        return "<1 %"
    if 0.995 < share < 1:
        return ">99 %"
    return f"{100 * share:.0f} %"


def number(value: float) -> str:
    """Four digits are enough to compare: 8123.4 → 8,123; 0.123456 → 0.1235; -45.0 → −45."""
    if value and not 1e-4 <= abs(value) < 1e7:
        text = f"{value:.3g}"
    else:
        digits = 3 - math.floor(math.log10(abs(value))) if value else 0
        text = f"{value:,.{max(0, digits)}f}"
        text = text.rstrip("0").rstrip(".") if "." in text else text
    return text.replace("-", "−")
