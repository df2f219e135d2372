"""Datasets of before: records that have fewer fields are read, and written again as they were."""

from __future__ import annotations

from demix.dataset.sample import without_keys
from demix.lazy import LazyRecords, as_written, text_of
from demix.records import ClipMedia

MEDIA = '{"key":"a/b/clip.mp4","bytes":10}'
OLDER = (
    f'{{"video":{MEDIA},"mix":{MEDIA},"width":64,"height":64,"fps":"24","frames":24,'
    '"sample_rate":48000,"channels":2,"samples":48000}'
)


def test_a_record_of_before_has_defaults_and_keeps_its_text() -> None:
    record = ClipMedia.model_validate_json(OLDER)
    assert (record.layout, record.gain_db, record.centre_db) == ("", 0, None)
    assert as_written(record) == text_of({"clip_media": record}, "clip_media") == OLDER
    assert without_keys(record) == OLDER.replace('"key":"a/b/clip.mp4",', "")


def test_a_record_of_now_is_the_same_text_from_the_ledger_and_from_a_manifest() -> None:
    record = ClipMedia.model_validate_json(OLDER).model_copy(update={"layout": "5.1", "centre_db": -20.5})
    ledger = record.model_dump_json()
    again = ClipMedia.model_validate_json(ledger)
    lazy = LazyRecords({"clip_media": ledger}, {"clip_media": ClipMedia})
    assert as_written(again) == ledger == text_of(lazy, "clip_media")
    assert without_keys(lazy["clip_media"]) == without_keys(again)
