"""Looks into every file that somebody named, and lets through what is a film."""

from __future__ import annotations

from collections.abc import Sequence

from demix.media.errors import MediaError
from demix.media.limits import MediaLimits
from demix.media.tracks import TrackSettings
from demix.records import Candidate, Probe
from demix.sources.fetch import check_state, local_copy, note_content, state_of
from demix.sources.folder import no_file
from demix.sources.uri import is_remote, local_path
from demix.stage import Dropped, Item, Kept, Outcome, Stage


class ProbeSettings(TrackSettings):
    """What a stranger's file may be, and which of its tracks is its sound."""

    limits: MediaLimits = MediaLimits()
    """Sizes, lengths and counts beyond which a file is dropped, and what its child process may use."""


class ProbeStage(Stage):
    """Adds `Probe` to candidates.

    Drops what is no file (`not_a_file`: broken links, pipes, devices), what is no film (`not_media`, with the format
    that it was recognised as; `no_video`), what is `encrypted`, and what is beyond the limits (`too_large`,
    `too_few_frames`, with the number and its limit). A film that is broken, or that breaks its decoder, fails.
    """

    name = "probe"
    version = 3
    adds = Probe
    reasons = ("not_a_file", "not_media", "no_video", "encrypted", "too_large", "too_few_frames")
    settings: ProbeSettings

    def __init__(self, settings: ProbeSettings):
        super().__init__(settings)
        self.timeout_seconds = settings.limits.probe_seconds + 60

    def run(self, items: Sequence[Item]) -> Sequence[Outcome]:
        return [self._probe(item) for item in items]

    def _probe(self, item: Item) -> Outcome:
        if not isinstance(item.subject, Candidate):
            raise TypeError(f"{item.id}: probing needs a candidate, not a {item.subject.name}")
        uri = item.subject.uri
        if not is_remote(uri) and (what := no_file(local_path(uri))):
            return Dropped("not_a_file", {"what": what})
        try:
            return Kept(self._read(item.subject))
        except MediaError as error:
            match error.kind:
                case "not_media" | "no_video" | "encrypted":
                    return Dropped(error.kind, error.evidence)
                case "sparse":
                    return Dropped("too_few_frames", error.evidence)
                case "limits" if error.evidence:  # without numbers it is the child's memory that did not suffice
                    return Dropped("too_large", error.evidence)
            raise

    def _read(self, candidate: Candidate) -> Probe:
        from demix.media.probe import probe

        uri = candidate.uri
        with local_copy(uri, was_there=bool(candidate.stamp)) as path:
            before = state_of(uri, path)
            found = probe(path, self.settings.limits, self.settings)
            check_state(uri, path, before)
            note_content(uri, before, found.sha256, self.context.store)
        return found
