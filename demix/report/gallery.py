"""Sample clips of each subset and of each reason for which clips are missing, with everything a card shows of them."""

from __future__ import annotations

import hashlib
import heapq
import io
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from demix import records
from demix.dataset.sample import file_name
from demix.lazy_module import lazy_module
from demix.records import SUBSETS
from demix.report import preview
from demix.report.clip_files import ClipFiles
from demix.report.funnel import clip_stages
from demix.report.manifests import Judged, Manifests
from demix.report.scores import STEMS, rules_of, scores_of, title

av: Any = lazy_module("av")

CANDIDATES = 8
"""Per wanted sample, so that a group's samples can come from different sources."""
BASE64 = 4 / 3
"""Bytes on the page per byte of media."""


@dataclass(frozen=True)
class Group:
    """One filter of the gallery: a subset, or a stage and reason of losing clips."""

    id: str
    kind: str
    """subset, dropped or failed."""
    stage: str
    name: str
    clips: int
    """In the whole dataset, not only in the gallery."""


@dataclass(frozen=True)
class Mark:
    """One score on a card; `passes` is None where no setting judges it."""

    title: str
    value: float
    unit: str
    passes: bool | None


@dataclass(frozen=True)
class Card:
    clip: Judged
    groups: tuple[str, ...]
    """Ids of all groups that the clip is in."""
    name: str
    caption: str
    marks: tuple[Mark, ...]
    levels: Mapping[str, float]
    """Stem -> dBFS."""
    film: preview.Film | None = None
    poster: bytes | None = None
    stems: Mapping[str, preview.Sound] = field(default_factory=dict)
    note: str = ""
    """Why it cannot be played, if it cannot."""


@dataclass(frozen=True)
class Gallery:
    groups: tuple[Group, ...]
    cards: tuple[Card, ...]


@dataclass(frozen=True)
class _Entry:
    """A clip that may be shown; greater is better."""

    rank: bytes
    origin: int
    """Index of its dataset."""
    clip: Judged

    def __lt__(self, other: _Entry) -> bool:
        return (self.rank, self.origin) < (other.rank, other.origin)


def make_gallery(
    manifests: Sequence[Manifests], files: Sequence[ClipFiles], per_group: int, media_bytes: float
) -> Gallery:
    """Cards with previews embedded as long as they fit into `media_bytes` on the page; `files[i]` serve `manifests[i]`.

    The first samples of all groups get their previews before the second ones do.
    """
    config = manifests[0].build.get("config") or {}
    stages = clip_stages(config)
    counts: defaultdict[str, int] = defaultdict(int)
    heaps: defaultdict[str, list[_Entry]] = defaultdict(list)
    for origin, manifest in enumerate(manifests):
        for clip in manifest.clips():
            for group in _groups_of(clip):
                counts[group] += 1
                _offer(heaps[group], _Entry(_rank(clip.id), origin, clip), per_group * CANDIDATES)
    order = sorted(counts, key=lambda group: _group_order(group, stages))
    chosen = _choose(heaps, order, per_group)
    budget = media_bytes / BASE64
    cards = []
    for origin, clip in chosen:
        card = _with_media(_card(clip, config), files[origin], budget)
        budget -= _bytes(card)
        cards.append(card)
    cards.sort(key=lambda card: (order.index(card.groups[0]), card.clip.id))
    return Gallery(tuple(_group(group, counts[group]) for group in order), tuple(cards))


def _groups_of(clip: Judged) -> tuple[str, ...]:
    if clip.outcome == "kept":
        return tuple(f"subset/{subset}" for subset in clip.signature.split("+") if subset)
    return (f"{clip.outcome}/{clip.stage}/{clip.reason}",)


def _group_order(group: str, stages: Sequence[str]) -> tuple[int, int, str]:
    """Subsets in their usual order, then reasons in the order of the stages, then failures."""
    kind, _, name = group.partition("/")
    known: list[str] = [*SUBSETS] if kind == "subset" else [*stages]
    place = name.partition("/")[0]
    return (
        ("subset", "dropped", "failed").index(kind),
        known.index(place) if place in known else len(known),
        name,
    )


def _group(group: str, clips: int) -> Group:
    kind, _, rest = group.partition("/")
    stage, _, name = rest.partition("/") if kind != "subset" else ("", "", rest)
    return Group(id=group, kind=kind, stage=stage, name=name, clips=clips)


def _rank(clip_id: str) -> bytes:
    """An order of clips that has nothing to do with where they come from."""
    return hashlib.blake2b(clip_id.encode(), digest_size=8).digest()


def _offer(heap: list[_Entry], entry: _Entry, room: int) -> None:
    """Keeps the `room` best entries; the heap's top is the worst of them."""
    if len(heap) < room:
        heapq.heappush(heap, entry)
    elif heap and heap[0] < entry:
        heapq.heapreplace(heap, entry)


def _choose(heaps: Mapping[str, list[_Entry]], order: Sequence[str], per_group: int) -> Iterator[tuple[int, Judged]]:
    """Every group's first sample, then every group's second, ...; no clip twice, other sources first."""
    taken: set[str] = set()
    for _ in range(per_group):
        for group in order:
            waiting = sorted(heaps[group], reverse=True)
            used = [entry.clip.source_id for entry in waiting if entry.clip.id in taken]
            free = [entry for entry in waiting if entry.clip.id not in taken]
            if free and len(used) < per_group:
                entry = min(free, key=lambda entry: used.count(entry.clip.source_id))
                taken.add(entry.clip.id)
                yield entry.origin, entry.clip


def _card(clip: Judged, config: Mapping[str, Any]) -> Card:
    caption = clip.record("caption", records.Caption)
    scores, rules = scores_of(clip, config), rules_of(config)
    judged = {key: all(rule.passes(value) for rule in rules[key]) for key, value in scores.items() if key in rules}
    ordered = sorted(scores, key=lambda key: key not in judged)
    return Card(
        clip=clip,
        groups=_groups_of(clip),
        name=file_name(clip.uri),
        caption=caption.text if caption else "",
        marks=tuple(Mark(title(key)[0], scores[key], title(key)[1], judged.get(key)) for key in ordered),
        levels={stem: scores[key] for stem in STEMS if (key := f"demixing.levels_db.{stem}") in scores},
    )


def _with_media(card: Card, files: ClipFiles, budget: float) -> Card:
    """The card with film and stems, with a poster only, or with a note that says why there is neither."""
    if "clip_media" not in card.clip.records:
        return replace(card, note=f"Ended in {card.clip.stage}, before it was cut out of its source: nothing to play.")
    picture = files.read(card.clip, "mp4")
    if picture is None:
        return replace(card, note="Its media were removed from the work store; --keep-work keeps them for the report.")
    try:
        film = preview.film(io.BytesIO(picture))
        stems = {
            stem: preview.sound(io.BytesIO(data)) for stem in STEMS if (data := files.read(card.clip, f"{stem}.flac"))
        }
    except (av.FFmpegError, ValueError) as error:
        return replace(card, note=f"Its media cannot be read ({type(error).__name__}); `demix verify` says more.")
    full = replace(card, film=film, poster=film.poster, stems=stems)
    if _bytes(full) <= budget:
        return full
    small = replace(card, poster=film.poster, note="Shown as a picture only, to keep this page small.")
    return small if _bytes(small) <= budget else replace(card, note="Left out to keep this page small.")


def _bytes(card: Card) -> int:
    sizes: list[Any] = [card.poster or b"", card.film.mp4 if card.film else b""]
    return sum(map(len, sizes)) + sum(len(sound.m4a) for sound in card.stems.values())
