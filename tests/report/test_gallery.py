"""Which clips are shown, and what can be played of them."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from demix.dataset import layout, tar
from demix.dataset.schema import read_rows, write_rows
from demix.report.clip_files import ClipFiles
from demix.report.gallery import Gallery, make_gallery
from demix.report.manifests import Judged, Manifests
from tests.report.fake import Fake


def gallery_of(fake: Fake, per_group: int, media_bytes: float = 25e6, work: Path | None = None) -> Gallery:
    manifests = Manifests(fake.dataset)
    return make_gallery([manifests], [ClipFiles(fake.dataset, work or fake.work)], per_group, media_bytes)


@pytest.fixture(scope="module")
def gallery(fake: Fake) -> Gallery:
    return gallery_of(fake, 2)


def test_every_subset_and_every_reason_has_samples(gallery: Gallery, fake: Fake) -> None:
    shown = Counter(group for card in gallery.cards for group in card.groups)
    for group in gallery.groups:
        assert shown[group.id] >= min(2, group.clips)
    reasons = {(group.kind, group.stage, group.name): group.clips for group in gallery.groups if group.kind != "subset"}
    assert reasons == {end: clips for end, clips in fake.ends.items() if end[0] != "kept"}
    assert {group.name: group.clips for group in gallery.groups if group.kind == "subset"} == fake.subsets


def test_no_clip_is_shown_twice_and_reasons_are_shown_from_different_sources(gallery: Gallery) -> None:
    assert len({card.clip.id for card in gallery.cards}) == len(gallery.cards)
    voice_over = [card.clip.source_id for card in gallery.cards if card.groups == ("dropped/voice_over/voice_over",)]
    assert len(set(voice_over)) == 2


def test_the_same_dataset_shows_the_same_clips(gallery: Gallery, fake: Fake, tmp_path: Path) -> None:
    again = gallery_of(fake, 2, work=tmp_path)
    assert [card.clip.id for card in again.cards] == [card.clip.id for card in gallery.cards]


def test_demixed_clips_have_film_and_three_stems_others_say_why_not(gallery: Gallery) -> None:
    for card in gallery.cards:
        if card.clip.stage == "length":
            assert card.film is None
            assert "nothing to play" in card.note
        elif "demixing" in card.clip.records:
            assert card.film is not None
            assert set(card.stems) == {"speech", "effects", "music"}
        else:
            assert card.film is not None
            assert not card.stems


def test_a_score_that_cost_a_clip_its_place_is_marked(gallery: Gallery) -> None:
    for card in gallery.cards:
        marks = {mark.title: mark.passes for mark in card.marks}
        if card.clip.reason == "too_short":
            assert marks["Length"] is False
        if card.clip.reason == "demix_disagreement":
            assert False in (passes for title, passes in marks.items() if title.startswith("L1 distance"))
        if card.clip.outcome == "kept":
            assert marks["Bandwidth"] is True


def test_a_small_budget_is_kept_and_first_samples_come_first(fake: Fake) -> None:
    whole = gallery_of(fake, 1)
    sizes = {card.clip.id: size_of(card) for card in whole.cards}
    budget = 0.3 * 4 / 3 * sum(sizes.values())
    small = gallery_of(fake, 1, budget)
    assert sum(map(size_of, small.cards)) * 4 / 3 <= budget
    assert any(card.film for card in small.cards)
    assert any(card.poster and not card.film for card in small.cards)
    assert all(card.note for card in small.cards if not card.film)


def test_media_that_are_gone_are_told_not_missed(fake: Fake, tmp_path: Path) -> None:
    cards = gallery_of(fake, 1, work=tmp_path / "gone").cards
    assert cards
    assert all(card.film is None and card.note for card in cards)


def test_broken_media_cost_one_card(fake: Fake, tmp_path: Path) -> None:
    work = shutil.copytree(fake.work, tmp_path / "work")
    for path in work.rglob("speech.flac"):
        path.write_bytes(b"no flac")
    cards = gallery_of(fake, 1, work=work).cards
    assert all("cannot be read" in card.note for card in cards if "demixing" in card.clip.records)
    assert any(card.film for card in cards if "demixing" not in card.clip.records)


def test_kept_clips_play_from_their_shards_when_the_work_store_is_gone(fake: Fake, tmp_path: Path) -> None:
    dataset = shutil.copytree(fake.dataset, tmp_path / "dataset")
    kept = [clip for clip in Manifests(dataset).clips() if clip.outcome == "kept"]
    shard = kept[0].shard
    expected = write_shard(dataset, shard, [clip for clip in kept if clip.shard == shard], fake.work)
    files = ClipFiles(dataset)
    for clip in kept:
        for field in ("mp4", "music.flac"):
            assert files.read(clip, field) == expected.get((clip.id, field))


def test_a_manifest_cannot_name_a_file_outside_the_shards(fake: Fake, tmp_path: Path) -> None:
    dataset = tmp_path / "dataset"
    dataset.mkdir()
    (tmp_path / "secret.tar").write_bytes(b"x" * 100)
    clip = next(Manifests(fake.dataset).clips())
    for shard in ("../secret.tar", str(tmp_path / "secret.tar"), "shards/../../secret.tar"):
        assert ClipFiles(dataset).read(Judged(**{**vars(clip), "shard": shard}), "mp4") is None


def size_of(card: Any) -> int:
    return (
        len(card.poster or b"")
        + len(card.film.mp4 if card.film else b"")
        + sum(len(s.m4a) for s in card.stems.values())
    )


def write_shard(dataset: Path, shard: str, clips: list[Judged], work: Path) -> dict[tuple[str, str], bytes]:
    """A shard of some fields of `clips`, the way the dataset's writer does it."""
    rows, written = [], {}
    path = dataset / shard
    path.parent.mkdir(parents=True)
    with open(path, "wb") as file:
        writer = tar.TarWriter(file)
        for clip in clips:
            keys = {
                "mp4": json.loads(clip.records["clip_media"])["video"]["key"],
                "music.flac": json.loads(clip.records["demixing"])["music"]["key"],
            }
            members = []
            for field, key in keys.items():
                data = written[clip.id, field] = (work / key).read_bytes()
                with open(work / key, "rb") as media:
                    member = writer.add(f"{clip.id}.{field}", len(data), media)
                members.append({**vars(member), "name": field, "key": key})
            rows.append({"clip_id": clip.id, "split": clip.split, "signature": clip.signature, "members": members})
        writer.close()
    write_rows(path.with_suffix(".parquet"), "shard", rows)
    assert len(list(read_rows(path.with_suffix(".parquet"), "shard"))) == len(clips)
    assert layout.stem_of(shard)
    return written
