"""Short-Films 20K (Ghermi et al., 2024): amateur films, from its table (CSV or parquet).

The table has one row a question; only `video_id` and `video_url` count here. The media are named `<video_id>`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq

from demix.sources.corpus import Entry, csv_rows


def read(metadata: Path) -> Iterator[Entry]:
    """Every film of the corpus once, as cinema."""
    seen: set[str] = set()
    for video, url in _rows(metadata):
        if video not in seen:
            seen.add(video)
            yield Entry(id=video, kind="cinematic", stems=(video,), url=url, metadata={"url": url} if url else {})


def _rows(path: Path) -> Iterator[tuple[str, str]]:
    if path.suffix.lower() == ".parquet":
        for row in pq.read_table(path, columns=["video_id", "video_url"]).to_pylist():
            yield row["video_id"], row["video_url"] or ""
        return
    for row in csv_rows(path, "video_id", "video_url"):
        yield row["video_id"], row["video_url"] or ""
