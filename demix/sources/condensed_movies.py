"""Condensed Movies (Bain et al., ACCV 2020): scenes of films, from `metadata/clips.csv`.

    videoid,year,clip_idx,clip_tot,upload_year,title,clip_name,imdbid

The media are named `<videoid>`. Every video ends with an advertisement of its channel; `durations.csv`
(`videoid,duration`), where it lies beside `clips.csv`, says where the scene itself ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from demix.film import FILM
from demix.sources.corpus import Entry, csv_rows
from demix.sources.spans import span
from demix.sources.youtube import watch_url


def read(metadata: Path) -> Iterator[Entry]:
    """Every scene of the corpus, as cinema."""
    lengths = _lengths(metadata.with_name("durations.csv"))
    for row in csv_rows(metadata, "videoid", "title", "imdbid", "year"):
        video = row["videoid"]
        known = video in lengths
        yield Entry(
            id=video,
            kind="cinematic",
            stems=() if known else (video,),
            within=video,
            span=span("0", lengths[video]) if known else None,
            url=watch_url(video),
            metadata={FILM: row["title"], "imdb_id": row["imdbid"], "year": row["year"].removesuffix(".0")},
        )


def _lengths(path: Path) -> dict[str, str]:
    """Seconds by video id; empty where there is no such file."""
    if not path.is_file():
        return {}
    rows = csv_rows(path, "videoid", "duration")
    return {row["videoid"]: row["duration"] for row in rows if float(row["duration"] or 0) > 0}
