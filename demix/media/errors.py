"""What can go wrong with a stranger's file: one exception, told apart by `kind`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Kind = Literal["not_media", "no_video", "encrypted", "truncated", "sparse", "limits", "timeout", "crash", "decode"]


class MediaError(Exception):
    """One file could not be used.

    `kind`:
    `not_media` no film container (also playlists, pictures, text, refused formats); `no_video` a container without
    moving pictures; `encrypted` a film that needs a key; `truncated` a container whose end or index is missing;
    `sparse` fewer pictures a second than a film has; `limits` beyond `MediaLimits`;
    `timeout` stalled or used up its time; `crash` the child process died; `decode` any other error of the libraries.
    """

    def __init__(
        self, kind: Kind, message: str, detail: str = "", evidence: Mapping[str, float | int | str] | None = None
    ):
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.detail = detail
        """The tail of the child's stderr or traceback: data from strangers, printable characters only."""
        self.evidence = dict(evidence or {})
        """Numbers behind a refusal, fit for `Dropped.evidence`."""

    def __reduce__(self) -> tuple[type[MediaError], tuple[Kind, str, str, dict[str, float | int | str]]]:
        return type(self), (self.kind, self.message, self.detail, self.evidence)

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}"
