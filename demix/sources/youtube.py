"""Web videos by id or address: the list of what is wanted, and its download by yt-dlp.

A list has one id or address a line; `#` begins a comment. Nothing is downloaded but by `download`, which is what
`demix download` calls. What videos may be used for is up to their owners, and to whoever downloads them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from demix import DISTRIBUTION
from demix.config import ConfigError, Settings
from demix.processes import null_input
from demix.sources.corpus import Entry

JOURNAL = "downloads.jsonl"
"""File in the media folder: what became of every address, one line an attempt."""

_ID = re.compile(r"[A-Za-z0-9_-]{11}")
_ADDRESS = re.compile(
    r"https?://(?:www\.|m\.|music\.)?(?:youtube\.com/(?:watch\?(?:.*&)?v=|shorts/|embed/|live/)|youtu\.be/)([\w-]{11})"
)


def watch_url(video: str) -> str:
    return f"https://www.youtube.com/watch?v={video}"


def wanted(path: Path) -> list[str]:
    """Addresses of a list, each once, in its order. Raises `ConfigError` for a line that is neither id nor address."""
    found: dict[str, None] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), start=1):
        text = re.sub(r"(^|\s)#.*", "", line).strip()
        if not text:
            continue
        if not text.startswith(("http://", "https://")) and not _ID.fullmatch(text):
            raise ConfigError(f"{path}, line {number}: {text!r} is neither a video id (11 characters) nor an address")
        found[watch_url(text) if _ID.fullmatch(text) else text] = None
    return list(found)


def video_id(address: str) -> str:
    """The id in a YouTube address; the last part of any other, without suffix, which is what yt-dlp calls it."""
    known = _ADDRESS.match(address)
    return known[1] if known else Path(address.split("?")[0].rstrip("/")).stem


def read(metadata: Path) -> Iterator[Entry]:
    """Every video of a list, as a web video."""
    for address in wanted(metadata):
        name = video_id(address)
        yield Entry(id=name, kind="web", stems=(name,), url=address, metadata={"url": address})


class DownloadSettings(Settings):
    """How web videos are brought."""

    height: int = Field(480, ge=144)
    """Largest short side that is chosen, in pixels; clips are made smaller than that anyway."""
    rate: str = "4M"
    """Most bytes a second; K and M are understood."""
    sleep_seconds: float = Field(3.0, ge=0)
    """Pause before each video, doubled at random."""
    retries: int = Field(5, ge=0)
    """Attempts at a video, and at each piece of it."""


@dataclass(frozen=True)
class Outcome:
    """What became of one address. `error` is empty if the file is there."""

    url: str
    file: str
    error: str


def download(
    addresses: Sequence[str],
    media: Path,
    settings: DownloadSettings,
    on_done: Callable[[Outcome], None] = lambda outcome: None,
) -> list[Outcome]:
    """Brings videos into the folder `media`, one after another; those that are there already are passed over.

    Resumable: a half video is continued, and the journal says what became of each address. Raises `ConfigError`
    without yt-dlp.
    """
    media.mkdir(parents=True, exist_ok=True)
    done = (outcome for outcome in journal(media) if not outcome.error)
    known = {outcome.url: outcome for outcome in done if (media / outcome.file).is_file()}
    outcomes = []
    for address in addresses:
        outcome = known.get(address)
        if outcome is None:
            outcome = _bring(address, media, settings)
            with open(media / JOURNAL, "a", encoding="utf-8") as file:
                file.write(json.dumps(vars(outcome), ensure_ascii=False) + "\n")
        outcomes.append(outcome)
        on_done(outcome)
    return outcomes


def journal(media: Path) -> list[Outcome]:
    """What became of every address so far, the last attempt at each."""
    path = media / JOURNAL
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return list({row["url"]: Outcome(**row) for row in map(json.loads, lines)}.values())


def _bring(address: str, media: Path, settings: DownloadSettings) -> Outcome:
    library = _yt_dlp()
    try:
        # It starts an ffmpeg of its own.
        with null_input(), library.YoutubeDL(options(media, settings)) as downloader:
            facts = downloader.extract_info(address, download=True)
            file = Path(facts["requested_downloads"][0]["filepath"]) if facts.get("requested_downloads") else None
    except library.utils.YoutubeDLError as error:
        return Outcome(address, "", str(error).splitlines()[0])
    if file is None or not file.is_file():
        return Outcome(address, "", "yt-dlp brought no file: is it a list of videos? name its videos one by one")
    return Outcome(address, file.name, "")


def options(media: Path, settings: DownloadSettings) -> dict[str, Any]:
    """What yt-dlp is told: the best picture up to the wanted height with its sound, at a civil pace."""
    height = settings.height
    return {
        "format": f"bestvideo[height<={height}]+bestaudio/best[height<={height}]/best",
        "merge_output_format": "mkv",
        "outtmpl": str(media / "%(id)s.%(ext)s"),
        "restrictfilenames": True,
        "continuedl": True,
        "noplaylist": True,
        "ratelimit": _bytes(settings.rate),
        "sleep_interval": settings.sleep_seconds,
        "max_sleep_interval": 2 * settings.sleep_seconds,
        "retries": settings.retries,
        "fragment_retries": settings.retries,
        "ffmpeg_location": _ffmpeg(),
        "quiet": True,
        "noprogress": True,
        "no_warnings": True,
    }


def _bytes(text: str) -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([KM]?)", text.strip().upper())
    if not match:
        raise ConfigError(f"--rate {text}: give bytes a second, such as 500K or 4M")
    return int(float(match[1]) * {"": 1, "K": 1 << 10, "M": 1 << 20}[match[2]])


def _ffmpeg() -> str:
    from demix.media.command import ffmpeg_binary

    return ffmpeg_binary()


def _yt_dlp() -> Any:
    try:
        import yt_dlp
    except ImportError as error:
        raise ConfigError(f"yt-dlp is not installed; run `pip install '{DISTRIBUTION}[web]'`") from error
    return yt_dlp
