"""Parts of a source that may be used, as its manifest states them: the metadata field `spans`.

    spans: [[81.62, 86.17], [90, 95.5]]

Seconds from the beginning of the film. Where there is no such field, all of the film may be used.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import NamedTuple

SPANS = "spans"


class Span(NamedTuple):
    """Seconds, half open."""

    start: Fraction
    end: Fraction


def span(start: float | str, end: float | str) -> Span:
    """A span of decimal seconds. Raises ValueError for one that is empty or no number."""
    found = Span(Fraction(str(start)), Fraction(str(end)))
    if not 0 <= found.start < found.end:
        raise ValueError(f"{start} to {end} s is no span of a film")
    return found


def as_text(spans: Iterable[Span]) -> str:
    """Spans as the metadata field holds them: sorted, those that touch or overlap joined."""
    joined: list[Span] = []
    for part in sorted(spans):
        if joined and part.start <= joined[-1].end:
            joined[-1] = Span(joined[-1].start, max(joined[-1].end, part.end))
        else:
            joined.append(part)
    return json.dumps([[float(part.start), float(part.end)] for part in joined])


def spans_of(metadata: Mapping[str, str]) -> list[Span] | None:
    """The spans that a source's metadata states, sorted; None if it states none. Raises ValueError for anything else
    in the field."""
    if SPANS not in metadata:
        return None
    try:
        stated = json.loads(metadata[SPANS], parse_float=str, parse_int=str)
        return sorted(span(*part) for part in stated)
    except (ValueError, TypeError, ZeroDivisionError) as error:
        raise ValueError(f"spans: {metadata[SPANS]!r} is not a list of [start, end] in seconds ({error})") from error


def within(
    start_pts: int, end_pts: int, first_pts: int, time_base: Fraction, spans: Iterable[Span]
) -> list[tuple[int, int]]:
    """The parts of [start_pts, end_pts) inside the spans, which count from `first_pts`."""
    parts = []
    for part in spans:
        start = max(start_pts, first_pts + math.ceil(part.start / time_base))
        end = min(end_pts, first_pts + math.floor(part.end / time_base))
        if start < end:
            parts.append((start, end))
    return parts
