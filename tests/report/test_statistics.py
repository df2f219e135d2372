"""The numbers: true to the manifests, and adding up at every stage."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from demix.dataset import layout
from demix.dataset.schema import arrow_schema, read_rows, write_rows
from demix.records import SUBSETS
from demix.report.manifests import Manifests, ReportError
from demix.report.statistics import Statistics, measure
from tests.report.fake import Fake, make_dataset, timings


@pytest.fixture(scope="module")
def statistics(fake: Fake) -> Statistics:
    return measure([Manifests(fake.dataset)], timings())


def test_in_is_kept_dropped_and_failed_at_every_stage(statistics: Statistics) -> None:
    for flow in statistics.stages:
        assert flow.entered == flow.kept + sum(flow.dropped.values()) + flow.failed
    for unit in ("sources", "clips"):
        flows = [flow for flow in statistics.stages if flow.unit == unit]
        assert [flow.entered for flow in flows[1:]] == [flow.kept for flow in flows[:-1]]
    assert statistics.stages[0].entered == statistics.sources
    assert statistics.stages[-1].kept == statistics.kept.clips
    assert statistics.contradictions == ()


def test_ends_are_those_that_were_made(statistics: Statistics, fake: Fake) -> None:
    found: Counter[tuple[str, str, str]] = Counter({("kept", "", ""): statistics.kept.clips})
    failed: Counter[str] = Counter()
    for flow in statistics.stages:
        if flow.unit == "clips":
            found.update({("dropped", flow.stage, reason): clips for reason, clips in flow.dropped.items()})
            failed[flow.stage] += flow.failed
    assert found == Counter({end: clips for end, clips in fake.ends.items() if end[0] != "failed"})
    assert +failed == Counter({stage: clips for (end, stage, _), clips in fake.ends.items() if end == "failed"})
    assert statistics.indexed.clips == fake.ends.total()
    assert statistics.kept.seconds == pytest.approx(fake.kept_seconds)


def test_subsets_combinations_and_overlap_tell_the_same(statistics: Statistics, fake: Fake) -> None:
    assert {row.subset: row.all.clips for row in statistics.subsets} == {name: fake.subsets[name] for name in SUBSETS}
    assert sum(row.amount.clips for row in statistics.combinations) == statistics.kept.clips
    assert sum(row.amount.seconds for row in statistics.combinations) == pytest.approx(statistics.kept.seconds)
    for index, row in enumerate(statistics.subsets):
        assert statistics.overlap[index][index] == row.all.clips
        assert row.train.clips + row.test.clips == row.all.clips
        for other in range(len(SUBSETS)):
            both = sum(
                c.amount.clips for c in statistics.combinations if {row.subset, SUBSETS[other]} <= set(c.subsets)
            )
            assert statistics.overlap[index][other] == both


def test_yields_sum_up_to_the_dataset(statistics: Statistics) -> None:
    assert sum(row.kept.clips for row in statistics.yields) == statistics.kept.clips
    assert sum(row.clips for row in statistics.yields) == statistics.indexed.clips
    assert sum(row.kept.clips for row in statistics.kinds) == statistics.kept.clips
    assert Counter(row.status for row in statistics.yields) == {"kept": 9, "dropped": 2, "failed": 1}


def test_thresholds_count_as_the_stages_judged(statistics: Statistics, fake: Fake) -> None:
    """What fails a dropping threshold is what the stage dropped; kept clips pass every one of them."""
    scores = {score.key: score for score in statistics.scores}
    length = scores["length.seconds"].rules[0]
    assert scores["length.seconds"].measured - length.passes == fake.ends["dropped", "length", "too_short"]
    for key in ("audio_quality.bandwidth_hz", "audio_quality.clipped_share", "demix_filter.speech.raw"):
        assert scores[key].rules[0].kept_passes == scores[key].kept == statistics.kept.clips
    assert "demix_filter.speech.normalised" in scores
    assert scores["demix_filter.speech.normalised"].rules == ()


def test_histograms_hold_every_measured_clip(statistics: Statistics) -> None:
    for score in statistics.scores:
        assert sum(score.histogram.kept) == score.kept
        assert sum(score.histogram.kept) + sum(score.histogram.others) == score.measured
        for rule in score.rules[:1]:
            assert rule.threshold in score.histogram.edges[1:-1]


def test_judges_are_those_of_the_records_with_their_licences(statistics: Statistics) -> None:
    judges = {judge.role: judge for judge in statistics.judges}
    assert set(judges) == {
        "shots",
        "audio_quality",
        "demix_three",
        "demix_two",
        "persons",
        "faces",
        "diarization",
        "active_speaker",
        "captioning",
    }
    assert judges["shots"].judged == 9
    assert judges["captioning"].judged == statistics.kept.clips
    assert all(judge.licence for judge in statistics.judges)


def test_report_json_reads_back(statistics: Statistics) -> None:
    assert Statistics.model_validate_json(statistics.model_dump_json()) == statistics


def test_secrets_in_a_uri_are_not_repeated(statistics: Statistics) -> None:
    assert "secret" not in statistics.model_dump_json()


def test_several_datasets_count_together(fake: Fake, statistics: Statistics) -> None:
    twice = measure([Manifests(fake.dataset), Manifests(fake.dataset)])
    assert twice.kept.clips == 2 * statistics.kept.clips
    assert any("more than once" in text for text in twice.contradictions)


def test_a_lost_clip_is_noticed(fake: Fake, tmp_path: Path) -> None:
    dataset = shutil.copytree(fake.dataset, tmp_path / "dataset")
    rows = list(read_rows(dataset / layout.CLIPS, "clips"))
    write_rows(dataset / layout.CLIPS, "clips", rows[1:])
    found = measure([Manifests(dataset)]).contradictions
    assert any(text.startswith("sources.parquet counts 360 clips, but 359") for text in found)
    assert any(rows[0]["source_id"] in text for text in found)


def test_a_lost_list_of_reasons_is_noticed(fake: Fake, tmp_path: Path) -> None:
    dataset = shutil.copytree(fake.dataset, tmp_path / "dataset")
    shutil.rmtree(dataset / layout.REJECTS / "probe")
    assert measure([Manifests(dataset)]).contradictions == (
        "sources.parquet tells of 2 dropped sources, the lists of reasons of 0",
    )


def test_a_stage_that_the_order_does_not_name_is_counted_all_the_same(fake: Fake, tmp_path: Path) -> None:
    dataset = shutil.copytree(fake.dataset, tmp_path / "dataset")
    text = (dataset / "build.json").read_text()
    (dataset / "build.json").write_text(text.replace('"length": {', '"order": ["clip_media", "subsets"], "length": {'))
    statistics = measure([Manifests(dataset)])
    assert statistics.stages[-1].kept == statistics.kept.clips
    assert {"length", "voice_over"} <= {flow.stage for flow in statistics.stages}


def test_an_empty_dataset_without_build_json_has_a_report(tmp_path: Path) -> None:
    (tmp_path / "manifests").mkdir()
    for table, path in (("clips", layout.CLIPS), ("sources", layout.SOURCES)):
        pq.write_table(arrow_schema(table).empty_table(), tmp_path / path)
    statistics = measure([Manifests(tmp_path)])
    assert statistics.kept.clips == statistics.sources == 0
    assert statistics.scores == ()


def test_a_folder_without_manifests_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=r"manifests/sources\.parquet and manifests/clips\.parquet not found"):
        Manifests(tmp_path)


def test_the_same_manifests_give_the_same_numbers(statistics: Statistics, tmp_path: Path) -> None:
    again = make_dataset(tmp_path, media=False)
    assert measure([Manifests(again.dataset)], timings()) == statistics
