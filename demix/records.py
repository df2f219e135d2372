"""What flows through the builder: sources, clips, and one frozen record per stage with every number it measured.

Units: `*_pts` are integers on the source's own time line (seconds = pts * time_base), `*_seconds` are seconds from the
clip's start, `*_db` are decibels relative to full scale, boxes are pixels of the clip's video. Rational numbers are
strings such as `"1/12800"` (read them with `fractions.Fraction`), so that they survive every format exactly.
"""

from __future__ import annotations

import hashlib
from fractions import Fraction
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict

SCHEMA_VERSION = 1
"""Version of everything below; written into every parquet file and sample. Raised when a field changes its meaning."""

CUT_VERSION = 1
"""Part of a clip's identity: raised when the same span would yield other frames or samples."""

Kind = Literal["talking_head", "cinematic", "web"]
Subset = Literal["basic_face", "single_character", "multiple_characters", "sound_event", "visual_mood"]
SUBSETS: tuple[Subset, ...] = ("basic_face", "single_character", "multiple_characters", "sound_event", "visual_mood")


class Record(BaseModel):
    """Base of all records: frozen, strict, JSON in and out. `name` is its key in an item and its manifest column."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, protected_namespaces=())
    name: ClassVar[str] = ""


class Model(Record):
    """Who judged: the model's registered name and the revision of its weights or algorithm."""

    model: str
    revision: str


class Media(Record):
    """One file in the work store."""

    key: str
    """Path below the work store's root; contains no file name of a stranger."""
    bytes: int


class Bars(Record):
    """Black bars around a picture, in pixels of the film as it is displayed."""

    kind: Literal["none", "letterbox", "pillarbox", "windowbox", "changing"] = "none"
    """Of a film, `changing`: its shots have different bars, and the numbers are what all of them have."""
    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0

    @classmethod
    def of(cls, left: int, top: int, right: int, bottom: int) -> Bars:
        """Of a shot."""
        rows, columns = bool(top or bottom), bool(left or right)
        kind: Literal["none", "letterbox", "pillarbox", "windowbox"] = "letterbox" if rows else "none"
        if columns:
            kind = "windowbox" if rows else "pillarbox"
        return cls(kind=kind, left=left, top=top, right=right, bottom=bottom)

    @property
    def sides(self) -> tuple[int, int, int, int]:
        """Left, top, right, bottom."""
        return self.left, self.top, self.right, self.bottom


# --- subjects: what has an identity and is accounted for -------------------------------------------------------------


class Subject(Record):
    """What the engine takes through stages. Other work than the builder's derives subjects of its own."""

    id: str

    @property
    def key(self) -> str:
        """What answers about it are kept under: its id and whatever else of it a stage may go by. Begins with a
        hexadecimal digit."""
        return self.id


class Candidate(Subject):
    """A file that somebody named, before anything is known of it."""

    name: ClassVar[str] = "candidate"
    id: str
    """Hash of the uri."""
    uri: str
    kind: Kind
    metadata: dict[str, str] = {}
    stamp: str = ""
    """Of the file as it was when it was named: a file that was replaced is another question to the stages."""

    @property
    def key(self) -> str:
        return f"{self.id}-{self.kind}-{self.stamp}"


class Source(Subject):
    """A film, talking head or web video whose content is known. Two files of the same bytes are one source."""

    name: ClassVar[str] = "source"
    id: str
    """First 16 hex digits of the content's sha256."""
    uri: str
    kind: Kind
    metadata: dict[str, str] = {}

    @property
    def key(self) -> str:
        return f"{self.id}-{self.kind}"


class Clip(Subject):
    """A span of one source, half open: [start_pts, end_pts) of the chosen video stream."""

    name: ClassVar[str] = "clip"
    id: str
    source_id: str
    uri: str
    kind: Kind
    ordinal: int
    """0 for the source's first clip."""
    start_pts: int
    end_pts: int
    time_base: str
    bars: Bars | None = None
    """Around its picture; null where they were not measured."""

    @property
    def key(self) -> str:
        return f"{self.id}-{self.kind}"

    @property
    def start(self) -> Fraction:
        """Seconds on the source's time line (which need not start at 0)."""
        return self.start_pts * Fraction(self.time_base)

    @property
    def end(self) -> Fraction:
        return self.end_pts * Fraction(self.time_base)

    @property
    def seconds(self) -> Fraction:
        return self.end - self.start


def clip_id(
    source_id: str, start_pts: int, end_pts: int, cut_version: int = CUT_VERSION, bars: Bars | None = None
) -> str:
    """16 hex digits that depend on what the clip is, not on where its file lies: its span, and the bars around its
    picture where it has any. No dot: WebDataset splits there."""
    text = f"{source_id}:{start_pts}:{end_pts}:{cut_version}"
    if bars is not None and any(bars.sides):
        text += ":" + ",".join(map(str, bars.sides))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


# --- source records --------------------------------------------------------------------------------------------------


class VideoStream(Record):
    index: int
    codec: str
    width: int
    """As displayed, after rotation."""
    height: int
    stored_width: int = 0
    """As decoded, before rotation and with whatever shape pixels have; 0 in datasets of before."""
    stored_height: int = 0
    rotation: int
    """Degrees clockwise that a player turns the picture: 0, 90, 180 or 270."""
    mirrored: bool = False
    """Whether it swaps left and right of the stored picture before that."""
    pixel_format: str
    transfer: str = ""
    """Transfer characteristics as ffmpeg names them: smpte2084 is PQ, arib-std-b67 is HLG; empty where not stated."""
    primaries: str = ""
    """Colour primaries by their name in ffmpeg: bt709, bt2020, smpte432 (Display P3), ..."""
    matrix: str = ""
    """Matrix coefficients by their name in ffmpeg."""
    peak_nits: float = 0.0
    """Highlights of an HDR film in cd/m2, measured on sampled frames; 0 for others."""
    fields: Literal["progressive", "interlaced", "telecined"] = "progressive"
    """What its pictures show, whatever its flags say."""
    first_field: Literal["", "top", "bottom"] = ""
    """Which field is shown first, where there are fields."""
    time_base: str
    start_pts: int
    """pts of the first frame shown."""
    end_pts: int
    """pts just after the last frame."""
    average_rate: str
    frames: int
    variable_rate: bool


class AudioStream(Record):
    index: int
    codec: str
    sample_rate: int
    channels: int
    layout: str
    """In FFmpeg's words: `stereo`, `5.1(side)`, `ambisonic 1`, ..."""
    time_base: str
    start_pts: int
    end_pts: int
    channel_names: tuple[str, ...] = ()
    """Of the layout's channels in FFmpeg's words, `FL`, `FR`, `FC`, ...; empty in datasets of before."""
    language: str = ""
    """As the file states it, mostly an ISO 639-2 code."""
    title: str = ""
    """As the file states it: a stranger's text."""
    disposition: tuple[str, ...] = ()
    """What the file says that the track is, in FFmpeg's words: `default`, `comment`, `visual_impaired`, ..."""
    joined: tuple[int, ...] = ()
    """Indices of the mono tracks whose channels this sound is made of, in the order of `channel_names`; empty where it
    is a track of its own."""

    @property
    def start(self) -> Fraction:
        """Seconds on the source's time line."""
        return self.start_pts * Fraction(self.time_base)

    @property
    def end(self) -> Fraction:
        return self.end_pts * Fraction(self.time_base)


class Stretch(Record):
    """Where in a file a part of it lies that has a clock of its own: what it is read from, and where it comes."""

    pictures: tuple[int, int]
    """Bytes in which its pictures lie, half open."""
    sound: tuple[int, int]
    """Bytes in which its sound does; a broadcast sends it later."""
    sound_index: int | None = None
    """Index of its sound among the streams of these bytes, if it has some."""
    shift: int
    """Ticks that are added to its pictures' stamps on the film's time line."""


class Probe(Record):
    """What a source is, read from its packets rather than its header or its name."""

    name: ClassVar[str] = "probe"
    sha256: str
    bytes: int
    container: str
    seconds: float
    video: VideoStream
    audio: AudioStream | None
    """The film's sound."""
    streams: int
    """Streams of every kind in the file, chosen or not."""
    tracks: tuple[AudioStream, ...] = ()
    """Every audio track that holds sound; empty in datasets of before."""
    audio_choice: str = ""
    """Why `audio` is the film's sound and no other track."""
    parts: tuple[Probe, ...] = ()
    """Where the time stamps of a file jump, its parts by their own clocks, in order. The film's facts are then those of
    the longest, with the times and frames of all, each part beginning where the one before ends."""
    stretch: Stretch | None = None
    """Where a part lies; null for a whole film."""


class Shot(Record):
    """One single-shot span after trimming, half open in pts of the video stream."""

    start_pts: int
    end_pts: int
    begins: Literal["start", "cut", "gradual", "split"]
    ends: Literal["end", "cut", "gradual", "split"]
    bars: Bars | None = None
    """Null in datasets of before, and where they are not looked for."""


class Shots(Model):
    name: ClassVar[str] = "shots"
    shots: tuple[Shot, ...]
    frames: int
    cuts: tuple[int, ...]
    """0-based index, in display order, of the first frame of each new shot (hard cuts)."""
    graduals: tuple[tuple[int, int], ...]
    """[first, last] frame index of each fade or dissolve."""
    bars: Bars | None = None
    """Those of the film."""


# --- clip records ----------------------------------------------------------------------------------------------------


class ClipMedia(Record):
    """The clip as a file of its own: H.264 video at a fixed rate with AAC audio, and the exact PCM of the mix."""

    name: ClassVar[str] = "clip_media"
    video: Media
    mix: Media
    """FLAC; every later audio track has its rate, channels and exact sample count."""
    width: int
    height: int
    fps: str
    frames: int
    sample_rate: int
    channels: int
    samples: int
    layout: str = ""
    """Of the film's sound, before it became one or two channels; empty in datasets of before."""
    gain_db: float = 0.0
    """Applied to a downmix that would have been beyond full scale."""
    centre_db: float | None = None
    """Level of the film's centre channel alone, where dialogue lies; null where it has none."""
    rest_db: float | None = None
    """Level of all other channels, as they are in the mix; null where there is no centre channel."""
    bars: Bars | None = None
    """Black bars around the film's picture in this shot; null in datasets of before, and where they were not looked
    for."""
    cropped: bool = False
    """Whether they were cut off."""


class AudioQuality(Model):
    name: ClassVar[str] = "audio_quality"
    scores: dict[str, float]
    """What the scorer measured, e.g. bandwidth_hz, noise_floor_db, loudness_lufs, clipped_share, silent_share."""


class Distance(Record):
    """L1 distance between two tracks at one rate and band; see `demix.stages.demixing.l1_distance`."""

    raw: float
    """mean|a-b| / mean|mix|"""
    normalised: float
    """The same after the second track's gain was matched to the first."""
    relative: float | None = None
    """mean|a-b| / max(mean|a|, mean|b|): 0 equal, 1 one of them silent, at most 2. It also notices disagreement about a
    track that is faint in the mix. None in records made before it was measured."""


class Demixing(Record):
    """Both demixers' answers about one clip, measured; nothing is decided here."""

    name: ClassVar[str] = "demixing"
    three: Model
    two: Model
    speech: Media
    effects: Media
    music: Media
    levels_db: dict[str, float]
    """RMS over the whole clip in dBFS, floor -120: mix, speech, effects, music, two_speech, two_others."""
    distances: dict[str, Distance]
    """Always all three: speech, others_effects, others_music."""
    residual_db: float
    """Level of mix - (speech + effects + music)."""
    gain_db: float
    """Applied to all three stems alike so that none clips; 0 as a rule."""
    confidence: dict[str, float]
    """0..1, how sure the three-stem demixer is of speech, effects, music being told apart; 0 means "cannot know"."""

    def hears_speech(self, silence_db: float) -> bool:
        """Whether one of the two demixers has a speech track that is not silent."""
        return max(self.levels_db["speech"], self.levels_db["two_speech"]) >= silence_db


class DemixCheck(Record):
    """What the dual-demixing comparison decided."""

    name: ClassVar[str] = "demix_check"
    silent: tuple[str, ...]
    """Tracks among speech, effects, music below the silence threshold."""
    compared: tuple[str, ...]
    """Pairs of `Demixing.distances` that the paper's rule allows to compare."""


class Box(Record):
    x0: float
    y0: float
    x1: float
    y1: float
    score: float


class FaceTrack(Record):
    """One face through time; `boxes[i]` is at clip frame `frames[i]` (already interpolated between detections)."""

    frames: tuple[int, ...]
    boxes: tuple[Box, ...]
    detections: int


class Persons(Record):
    """Who can be seen."""

    name: ClassVar[str] = "persons"
    persons: Model
    faces: Model
    frames: tuple[int, ...]
    """Clip frames on which persons were looked for."""
    boxes: tuple[tuple[Box, ...], ...]
    """Persons on each of them."""
    tracks: tuple[FaceTrack, ...]
    count: int
    """Persons visible at once, robustly (see the stage)."""
    visible_share: float
    """Share of the sampled frames with at least one person or face."""


class Turn(Record):
    start_seconds: float
    end_seconds: float
    speaker: int


class Diarization(Model):
    """Who speaks when, by ear."""

    name: ClassVar[str] = "diarization"
    turns: tuple[Turn, ...]
    speakers: int
    speech_seconds: float
    confidence: float


class TrackActivity(Record):
    """Activity of `Persons.tracks[track]`: one score per frame of the track, above 0 means "speaks"."""

    track: int
    scores: tuple[float, ...]
    decidable: bool


class SpeakerTracks(Record):
    """The speech stem once for each of two speakers; empty for other clips."""

    name: ClassVar[str] = "speaker_tracks"
    speech0: Media | None = None
    """The speaker who is heard first: `Turn.speaker` 0."""
    speech1: Media | None = None

    @property
    def tracks(self) -> tuple[Media, ...]:
        """Both, or none."""
        return tuple(track for track in (self.speech0, self.speech1) if track is not None)


class ActiveSpeaker(Model):
    name: ClassVar[str] = "active_speaker"
    tracks: tuple[TrackActivity, ...]


class VoiceOver(Record):
    """Speech heard against people seen."""

    name: ClassVar[str] = "voice_over"
    verdict: Literal["on_screen", "no_speech", "voice_over", "undecidable"]
    speech_seconds: float
    person_covered_share: float
    """Share of the speech time during which a person is visible."""
    speaker_covered_share: float
    """Share of the speech time during which an active speaker is visible."""


class Caption(Model):
    name: ClassVar[str] = "caption"
    persons: tuple[str, ...]
    speaking: tuple[int, ...]
    """Indices into `persons`, 0-based."""
    scene: str
    text: str


class Subsets(Record):
    name: ClassVar[str] = "subsets"
    subsets: tuple[Subset, ...]
    """In the order of `SUBSETS`."""
    visible_persons: int
    speakers: int
    humans: int
    """The one of the two that the setting chose."""

    @property
    def signature(self) -> str:
        return "+".join(self.subsets)
