"""Proves one shard by itself: hashes, structure, index, and every clip decoded and measured against its own record."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import zip_longest
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from demix.dataset import tar
from demix.dataset.layout import MEMBERS, MEMBERS_OF_TWO, SPEAKERS
from demix.dataset.problem import COMMIT, REPACK, Problem
from demix.dataset.schema import SchemaError, read_rows
from demix.dataset.shard import Commit, ShardError, clip_ids_sha256, read_commit
from demix.errors import BrokenInstallation, ChildDefect
from demix.media import sandbox
from demix.media.errors import MediaError
from demix.media.limits import MediaLimits
from demix.media.measure import FORMATS
from demix.records import SCHEMA_VERSION

AAC_FRAME = 1024
"""Samples that an AAC track may be longer than what went in: it holds whole frames only."""


class Found(NamedTuple):
    """What a shard holds of a clip: hashes of its texts, to be compared with the manifest."""

    json: str
    text: str


class Claim(NamedTuple):
    """What a clip's record says of its media."""

    frames: int
    width: int
    height: int
    fps: Fraction
    samples: int
    sample_rate: int
    channels: int

    @classmethod
    def of(cls, media: Mapping[str, Any]) -> Claim:
        """From the JSON of a ClipMedia; raises KeyError, TypeError or ValueError if it is not one."""
        fps = Fraction(media["fps"])
        if fps <= 0 or media["sample_rate"] <= 0:
            raise ValueError("a rate must be above 0")
        return cls(**{name: media[name] for name in cls._fields if name != "fps"}, fps=fps)


@dataclass
class ShardCheck:
    """The outcome for one shard."""

    stem: str
    problems: list[Problem] = field(default_factory=list)
    clips: dict[str, Found] = field(default_factory=dict)
    """Those that the index and the tar agree on."""
    plan: str | None = None
    readable: bool = False
    """Whether tar and index could be read at all; otherwise nobody knows which clips there are."""

    def blame(self, suffix: str, what: str, remedy: str = REPACK) -> None:
        self.problems.append(Problem(f"{self.stem}{suffix}", what, remedy))


def check_shard(dataset: Path, stem: str, decode: bool = True) -> ShardCheck:
    """Reads everything of one shard. What it finds is in the result; it raises only if the disk cannot be read."""
    check = ShardCheck(stem)
    commit = _commit(check, dataset)
    members = _tar(check, dataset, commit)
    rows = _index(check, dataset, commit)
    if members is None or rows is None:
        return check
    check.readable = True
    _compare(check, rows, members)
    if commit is not None:
        _count(check, commit, rows)
    whole = list(_whole(rows, members))
    claims = _texts(check, dataset, whole)
    if decode:
        _media(check, dataset, [row for row in whole if row["clip_id"] in claims], claims)
    return check


def _commit(check: ShardCheck, dataset: Path) -> Commit | None:
    try:
        commit = read_commit(dataset, check.stem)
    except ShardError as error:
        check.blame(".commit.json", str(error))
        return None
    if commit is None:
        check.blame(".commit.json", "is missing: without it the shard does not exist for readers", COMMIT)
        return None
    _, split, signature, _ = check.stem.split("/")
    said, meant = (commit.split, commit.signature, commit.schema_version), (split, signature, SCHEMA_VERSION)
    if said != meant:
        check.blame(".commit.json", f"says (split, signature, schema version) {said}, the path and this demix {meant}")
    check.plan = commit.plan
    return commit


def _tar(check: ShardCheck, dataset: Path, commit: Commit | None) -> list[tar.Member] | None:
    """The members; None if the archive is missing or not well formed."""
    members: list[tar.Member] | None = []
    try:
        with open(dataset / f"{check.stem}.tar", "rb") as file:
            hashed = tar.Hashed(file)
            try:
                members = list(tar.scan(hashed))
            except tar.TarError as error:
                check.blame(".tar", f"is not a tar as we write it: {error}")
                members = None
            found = hashed.rest()
    except FileNotFoundError:
        check.blame(".tar", "is missing")
        return None
    if commit is not None and found != (commit.tar.bytes, commit.tar.sha256):
        said = f"{commit.tar.bytes} bytes, sha256 {commit.tar.sha256}"
        check.blame(".tar", f"has {found[0]} bytes, sha256 {found[1]}; committed were {said}")
    return members


def _index(check: ShardCheck, dataset: Path, commit: Commit | None) -> list[dict[str, Any]] | None:
    """The rows of the index; None if there is none to read."""
    path = dataset / f"{check.stem}.parquet"
    try:
        found = path.stat().st_size, tar.sha256_of(path)
        if commit is not None and found != (commit.parquet.bytes, commit.parquet.sha256):
            check.blame(".parquet", f"has sha256 {found[1]}; {commit.parquet.sha256} was committed")
        return list(read_rows(path, "shard"))
    except FileNotFoundError:
        check.blame(".parquet", "is missing")
    except SchemaError as error:
        check.blame(".parquet", str(error))
    return None


def _compare(check: ShardCheck, rows: Sequence[Mapping[str, Any]], members: Sequence[tar.Member]) -> None:
    """The index against the tar, member by member."""
    meant = [tar.Member(f"{row['clip_id']}.{m['name']}", m["offset"], m["size"], m["sha256"]) for row, m in _each(rows)]
    for said, is_there in zip_longest(meant, members):
        if said is None or is_there is None or said.name != is_there.name:
            found, wanted = is_there and is_there.name, said and said.name
            check.blame(".tar", f"holds {found or 'nothing more'} where the index says {wanted or 'nothing more'}")
            return  # all that follows is shifted
        if said != is_there:
            what = "content" if said.sha256 != is_there.sha256 else "place"
            check.blame(f".tar:{said.name}", f"its {what} is not what the index says")


def _each(rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    return ((row, member) for row in rows for member in row["members"])


def _count(check: ShardCheck, commit: Commit, rows: Sequence[Mapping[str, Any]]) -> None:
    """The rows against the commit file and against the rules of the format."""
    ids = [row["clip_id"] for row in rows]
    if commit.samples != len(ids) or commit.clip_ids_sha256 != clip_ids_sha256(ids):
        check.blame(".commit.json", f"speaks of {commit.samples} samples; the index has {len(ids)}, or others")
    if ids != sorted(set(ids)):
        check.blame(".parquet", "the clips are not sorted by id, each once")
    _, split, signature, _ = check.stem.split("/")
    for row in rows:
        if (row["split"], row["signature"]) != (split, signature):
            check.blame(".parquet", f"clip {row['clip_id']} is of {row['split']}/{row['signature']}")
        if _names(row) not in (MEMBERS, MEMBERS_OF_TWO):
            wanted = ", ".join(MEMBERS)
            check.blame(".parquet", f"clip {row['clip_id']} does not have the members {wanted} in this order")


def _names(row: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(member["name"] for member in row["members"])


def _whole(rows: Sequence[dict[str, Any]], members: Sequence[tar.Member]) -> Iterator[dict[str, Any]]:
    """The rows of clips that the tar holds all of, where the index says."""
    places = {(member.name, member.offset, member.size) for member in members}
    for row in rows:
        said = {(f"{row['clip_id']}.{member['name']}", member["offset"], member["size"]) for member in row["members"]}
        if _names(row) in (MEMBERS, MEMBERS_OF_TWO) and said <= places:
            yield row


def _texts(check: ShardCheck, dataset: Path, rows: Sequence[Mapping[str, Any]]) -> dict[str, Claim]:
    """What each clip's `.json` claims, where it can be read, after comparing it with the members beside it."""
    claims = {}
    with open(dataset / f"{check.stem}.tar", "rb") as file:
        for row in rows:
            name = row["clip_id"]
            spans = {member["name"]: member for member in row["members"]}
            text, data = (_span(file, spans[field]) for field in ("txt", "json"))
            check.clips[name] = Found(hashlib.sha256(data).hexdigest(), hashlib.sha256(text).hexdigest())
            try:
                record = json.loads(data)
                claim = Claim.of(record["records"]["clip_media"])
                contradictions = list(_contradictions(row, record, text, spans))
            except (ValueError, KeyError, TypeError) as error:
                check.blame(f".tar:{name}.json", f"is not a sample's record: {error!r}")
                continue
            claims[name] = claim
            for what in contradictions:
                check.blame(f".tar:{name}.json", what)
    return claims


def _span(file: BinaryIO, member: Mapping[str, Any]) -> bytes:
    file.seek(member["offset"])
    return file.read(member["size"])


def _contradictions(
    row: Mapping[str, Any], record: Mapping[str, Any], text: bytes, spans: Mapping[str, Mapping[str, Any]]
) -> Iterator[str]:
    """Where a clip's record and the other members disagree."""
    for key in ("clip_id", "split", "signature"):
        if record[key] != row[key]:
            yield f"says {key} {record[key]!r}, the index {row[key]!r}"
    records = record["records"]
    if records["caption"]["text"].encode() != text:
        yield "its caption is not the text of the .txt member"
    if "+".join(record["subsets"]) != record["signature"] or record["subsets"] != records["subsets"]["subsets"]:
        yield "its subsets are not those of its signature"
    stems = {f"{name}.flac": records["demixing"][name] for name in ("speech", "effects", "music")}
    speakers = records.get("speaker_tracks") or {}
    voices = {field_name: speakers.get(field_name.removesuffix(".flac")) for field_name in SPEAKERS}
    for field_name, media in {"mp4": records["clip_media"]["video"], **stems, **voices}.items():
        said = "no bytes" if media is None else f"{media['bytes']} bytes"
        there = f"{spans[field_name]['size']} bytes" if field_name in spans else "no bytes"
        if said != there:
            yield f"says that .{field_name} has {said}; it has {there}"


def _media(check: ShardCheck, dataset: Path, rows: Sequence[Mapping[str, Any]], claims: Mapping[str, Claim]) -> None:
    """Decodes every media member in a sandboxed child, and compares what came out with what the record claims."""
    due = [(row["clip_id"], member) for row, member in _each(rows) if _format(member) in FORMATS]
    while due:
        measured = 0
        try:
            for measures in _measure(dataset / f"{check.stem}.tar", [member for _, member in due]):
                clip, member = due[measured]
                for what in _differences(member, measures, claims[clip]):
                    check.blame(f".tar:{clip}.{member['name']}", what)
                measured += 1
        except MediaError as error:
            # The child died of this member; a new one goes on behind it.
            clip, member = due[measured]
            check.blame(f".tar:{clip}.{member['name']}", f"cannot be decoded: {error}")
            measured += 1
        except ChildDefect as error:
            what = f"{error.type_name} in {error.where}: {error}"
            raise BrokenInstallation(
                f"{dataset / check.stem}.tar cannot be verified: {what}; run `demix doctor`"
            ) from error
        due = due[measured:]


def _format(member: Mapping[str, Any]) -> str:
    return str(member["name"]).rpartition(".")[2]


def _measure(path: Path, members: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    limits = MediaLimits()
    arguments = {
        "path": str(path),
        "spans": [[_format(member), member["offset"], member["size"]] for member in members],
    }
    seconds = limits.cut_seconds * len(members)
    for record in sandbox.stream("demix.media.measure:members", arguments, limits, seconds=seconds):
        yield json.loads(record)


def _differences(member: Mapping[str, Any], measured: Mapping[str, Any], claim: Claim) -> Iterator[str]:
    if "error" in measured:
        yield f"cannot be decoded: {measured['error']}"
        return
    film = _format(member) == "mp4"
    for key in ("frames", "width", "height") if film else ("samples", "sample_rate", "channels"):
        if measured[key] != getattr(claim, key):
            yield f"has {key} {measured[key]}, its record says {getattr(claim, key)}"
    if film and (measured["fps"] == "unknown" or Fraction(measured["fps"]) != claim.fps):
        yield f"has fps {measured['fps']}, its record says {claim.fps}"
    if film:
        frame = 1 / claim.fps
        shown, stems = claim.frames * frame, Fraction(claim.samples, claim.sample_rate)
        heard = Fraction(measured["samples"], measured["sample_rate"] or 1)
        if abs(stems - shown) >= frame or abs(heard - shown) >= frame + Fraction(AAC_FRAME, claim.sample_rate):
            seconds = f"video {float(shown):.3f} s, its sound {float(heard):.3f} s, stems {float(stems):.3f} s"
            yield f"video and audio differ by a frame or more: {seconds}"
