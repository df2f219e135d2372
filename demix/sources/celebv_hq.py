"""CelebV-HQ (Zhu et al., ECCV 2022): talking heads, from `celebvhq_info.json`.

    {"meta_info": {...}, "clips": {"M2Ohb0FAaJU_1": {"ytb_id": ..., "duration": {"start_sec", "end_sec"},
                                                    "bbox": {"top", "bottom", "left", "right"}, "attributes": {...}}}}

The media are either the cut clips (`<clip>.mp4`, already cropped) or the whole videos (`<ytb_id>.mp4`), of which the
spans are used. The box is kept as metadata; a whole video is not cropped to it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from demix.film import FILM
from demix.sources.corpus import Entry
from demix.sources.spans import span
from demix.sources.youtube import watch_url


def read(metadata: Path) -> Iterator[Entry]:
    """Every clip of the corpus, as a talking head."""
    for name, clip in json.loads(metadata.read_text(encoding="utf-8"))["clips"].items():
        video, times = clip["ytb_id"], clip["duration"]
        yield Entry(
            id=name,
            kind="talking_head",
            stems=(name,),
            within=video,
            span=span(times["start_sec"], times["end_sec"]),
            url=watch_url(video),
            metadata={FILM: video, "youtube_id": video, "box": json.dumps(clip["bbox"])},
        )
