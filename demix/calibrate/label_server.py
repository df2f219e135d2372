"""The page for labelling by hand, served on this machine: one clip after the other, by keyboard, into a CSV.

Nothing but this machine reaches it, and no other page in the same browser can use it: it answers only to its own
address (against names that are bent to 127.0.0.1), and takes labels only with the secret that its page holds.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import Any

from markupsafe import Markup

from demix import records
from demix.calibrate.labels import LABELS, Label, read_labels, write_labels
from demix.config import ConfigError
from demix.dataset.sample import file_name
from demix.report import html
from demix.report.clip_files import ClipFiles
from demix.report.manifests import Judged, Manifests
from demix.report.scores import scores_of, title
from demix.report.words import number, visible, words

TEMPLATES = Path(__file__).parent / "templates"
MEDIA = {
    "mp4": "video/mp4",
    "speech.flac": "audio/flac",
    "effects.flac": "audio/flac",
    "music.flac": "audio/flac",
}
LARGEST_LABEL = 4096
"""Bytes of a request that are read."""
FIXED = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
}
"""Headers of every answer."""
_MEDIA_PATH = re.compile(r"/media/([0-9a-f]{16})/([a-z0-9.]+)")
_LENGTH = re.compile(r"[0-9]{1,9}")
_RANGE = re.compile(r"bytes=([0-9]{1,18})-([0-9]{0,18})")


class Desk:
    """The clips that can be labelled, and the labels. `labels` is the CSV; it may exist."""

    def __init__(self, manifests: Manifests, labels: Path, work: str | None = None):
        self.config = manifests.build.get("config") or {}
        self.files = ClipFiles(manifests.dataset, work or f"{manifests.dataset.root}/.work")
        self.clips = {clip.id: clip for clip in self._playable(manifests)}
        self.path = labels
        self.labels: dict[str, Label] = read_labels(labels) if labels.exists() else {}
        self._lock = Lock()
        if not self.clips:
            raise ConfigError(f"{manifests.dataset}: it holds no clip that could be played")

    def _playable(self, manifests: Manifests) -> list[Judged]:
        """Kept clips, and dropped ones whose media are still in the work store, in an order that tells nothing."""
        store = self.files.store
        found = [
            clip
            for clip in manifests.clips()
            if (media := clip.record("clip_media", records.ClipMedia))
            and (clip.outcome == "kept" or (store is not None and store.exists(media.video.key)))
        ]
        return sorted(found, key=lambda clip: hashlib.blake2b(clip.id.encode(), digest_size=8).digest())

    def label(self, clip_id: str, label: str) -> None:
        """Notes a label; an empty one takes the clip's label away. Raises ValueError for another clip or label."""
        if clip_id not in self.clips or label not in (*LABELS, ""):
            raise ValueError(f"no clip {clip_id!r}, or no label {label!r}")
        with self._lock:
            self.labels.pop(clip_id, None)
            if label:
                self.labels[clip_id] = "good" if label == "good" else "bad"
            write_labels(self.path, self.labels)

    def cards(self) -> list[dict[str, Any]]:
        """What the page shows of every clip. Neither whether it was kept is said, nor its caption, which only kept
        clips have; scores are shown to who asks for them. They would lead the hand."""
        return [
            {
                "id": clip.id,
                "name": visible(file_name(clip.uri)),
                "kind": words(clip.kind),
                "stems": "demixing" in clip.records,
                "label": self.labels.get(clip.id, ""),
                "scores": [[title(key)[0], f"{number(value)} {title(key)[1]}"] for key, value in self._scores(clip)],
            }
            for clip in self.clips.values()
        ]

    def _scores(self, clip: Judged) -> Sequence[tuple[str, float]]:
        return list(scores_of(clip, self.config).items())


def render(desk: Desk, secret: str) -> str:
    """The page as text. Names and captions of strangers travel as JSON and are set as text, never as markup."""
    style, script = ((TEMPLATES / name).read_text(encoding="utf-8") for name in ("label.css", "label.js"))
    return html.template(TEMPLATES / "label.html").render(
        policy=html.policy(style, script, "media-src 'self'; connect-src 'self'"),
        style=Markup(style),
        script=Markup(script),
        data=html.embedded({"secret": secret, "file": desk.path.name, "clips": desk.cards()}),
    )


def make_server(desk: Desk, port: int = 0) -> ThreadingHTTPServer:
    """The server, bound to 127.0.0.1 and not yet serving. Raises `ConfigError` if the port is taken."""
    secret = secrets.token_urlsafe(16)

    class Handler(_Handler):
        pass

    Handler.desk, Handler.secret = desk, secret
    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    except OSError as error:
        raise ConfigError(f"--port {port}: {error.strerror}; choose another, or leave it out") from error
    server.daemon_threads = True
    return server


def serve(manifests: Manifests, labels: Path, work: str | None, port: int) -> int:
    """Serves until it is interrupted; returns 0."""
    desk = Desk(manifests, labels, work)
    with make_server(desk, port) as server:
        address = f"http://127.0.0.1:{server.server_port}/"
        print(f"{len(desk.clips):,} clips to label: {address} (end with Ctrl-C)", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print(f"\n{len(desk.labels):,} labels in {labels}")
    return 0


class _Handler(BaseHTTPRequestHandler):
    """GET / and /media/CLIP/FIELD, POST /label."""

    desk: Desk
    secret: str
    protocol_version = "HTTP/1.1"
    timeout = 300
    """Seconds that a connection may be silent, also one that promised more than it sends."""

    def handle(self) -> None:
        with suppress(ConnectionError):  # whoever asked has hung up
            super().handle()

    def do_GET(self) -> None:
        found = _MEDIA_PATH.fullmatch(self.path)
        if not self._is_ours():
            self._answer(403, b"another address than this server's own", "text/plain")
        elif self.path == "/":
            self._answer(200, render(self.desk, self.secret).encode(), "text/html; charset=utf-8")
        elif found and found[1] in self.desk.clips and found[2] in MEDIA:
            self._answer_media(self.desk.clips[found[1]], found[2])
        else:
            self._answer(404, b"there is nothing here", "text/plain")

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length") or ""
        if not _LENGTH.fullmatch(length) or int(length) > LARGEST_LABEL:
            self.close_connection = True  # where the next request begins is not known
            self._answer(400, b"a label comes with its length, and is short", "text/plain")
            return
        said = self.rfile.read(int(length))
        # Headers may hold any byte; texts that are not ASCII cannot be compared, bytes can.
        given = (self.headers.get("X-Demix-Secret") or "").encode("utf-8", "replace")
        if not self._is_ours() or self.path != "/label" or not secrets.compare_digest(given, self.secret.encode()):
            self._answer(403, b"only this server's own page may label", "text/plain")
            return
        try:
            told = json.loads(said)
            self.desk.label(str(told["clip"]), str(told["label"]))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            self._answer(400, str(error).encode("utf-8", "replace"), "text/plain")
            return
        except OSError as error:
            self._answer(507, f"{self.desk.path}: {error.strerror}".encode("utf-8", "replace"), "text/plain")
            return
        self._answer(200, b"{}", "application/json")

    def _is_ours(self) -> bool:
        assert isinstance(self.server, ThreadingHTTPServer)
        port = self.server.server_port
        return self.headers.get("Host") in (f"127.0.0.1:{port}", f"localhost:{port}")

    def _answer_media(self, clip: Judged, field: str) -> None:
        """The file, or the part of it that a player asks for."""
        content = self.desk.files.read(clip, field)
        if content is None:
            self._answer(404, b"its media are gone", "text/plain")
            return
        asked = _RANGE.fullmatch(self.headers.get("Range") or "")
        if asked is None or int(asked[1]) >= len(content):
            self._answer(200, content, MEDIA[field])
            return
        first = int(asked[1])
        last = min(int(asked[2] or len(content) - 1), len(content) - 1)
        if last < first:
            self._answer(416, b"the range ends before it begins", "text/plain")
            return
        place = {"Content-Range": f"bytes {first}-{last}/{len(content)}"}
        self._answer(206, content[first : last + 1], MEDIA[field], place)

    def _answer(self, status: int, content: bytes, kind: str, more: dict[str, str] | None = None) -> None:
        self.send_response(status)
        headers = {"Content-Type": kind, "Content-Length": str(len(content)), "Accept-Ranges": "bytes"}
        for name, value in {**headers, **FIXED, **(more or {})}.items():
            self.send_header(name, value)
        with suppress(BrokenPipeError, ConnectionResetError):  # a player that has enough of a clip hangs up
            self.end_headers()
            self.wfile.write(content)

    def log_message(self, *arguments: Any) -> None:
        """Nothing on the console: labels are in the file."""
