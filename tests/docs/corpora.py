"""Metadata of the five corpora in their real shape, with media, as docs/corpora.md assumes them in the folder."""

from __future__ import annotations

import json
from pathlib import Path

from demix.sources.youtube import JOURNAL, watch_url

VIDEO = "M2Ohb0FAaJU"
CLIP = {
    "ytb_id": VIDEO,
    "duration": {"start_sec": 81.62, "end_sec": 86.17},
    "bbox": {"top": 0.0, "bottom": 0.8815, "left": 0.1964, "right": 0.6922},
    "attributes": {},
    "version": "v0.1",
}
TEXTS = {
    "celebvhq_info.json": json.dumps({"meta_info": {}, "clips": {f"{VIDEO}_1": CLIP}}),
    "data_split.json": json.dumps({"Train": ["0001_American_Beauty"], "Test": []}),
    "metadata/clips.csv": "videoid,year,clip_idx,clip_tot,upload_year,title,clip_name,imdbid\n"
    f"{VIDEO},2012.0,6,10,2019,Les Misérables,One Day More Scene,tt1707386\n",
    "train.csv": f"question_id,video_id,video_url\n1,{VIDEO},{watch_url(VIDEO)}\n",
    "list.txt": f"{VIDEO}\n",
    f"web/{JOURNAL}": json.dumps({"url": watch_url(VIDEO), "file": f"{VIDEO}.mkv", "error": ""}) + "\n",
}
MEDIA = (
    f"celebv/{VIDEO}.mp4",
    "lsmdc/0001_American_Beauty_00.00.51.926-00.00.54.129.avi",
    f"condensed/2019/{VIDEO}.mkv",
    f"sf20k/{VIDEO}.mp4",
    f"web/{VIDEO}.mkv",
)


def prepare(folder: Path) -> None:
    """Writes all of it below `folder`. The media are not films: nothing on the page opens them."""
    for name, text in TEXTS.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    for name in MEDIA:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"\0")
