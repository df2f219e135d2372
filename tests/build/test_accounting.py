"""Nothing disappears: of good, odd, broken and lying files, every one ends as kept, dropped or quarantined, everywhere
where it is counted, and none of them costs another."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest

from tests.build.conftest import Built, Corpus
from tests.build.running import SEQUENTIAL, demix, numbers, rows

ONLY_INDEX = ("--set", 'order=["length"]')


def ends(dataset: Path) -> dict[str, str]:
    """File name -> how it ended, from the manifest of sources."""
    return {Path(row["uri"]).name: f"{row['status']} {row['reason'] or ''}".strip() for row in rows(dataset, "sources")}


def test_every_file_ends_as_what_it_is(built: Built) -> None:
    found = ends(built.dataset)
    assert len(found) == len(built.corpus.films) + len(built.corpus.broken)
    for name in built.corpus.films:
        assert found[name] == "kept"
    for name, end in built.corpus.broken.items():
        assert found[name].startswith(end), (name, found[name])


def test_what_did_not_get_through_is_listed_once_with_why(built: Built) -> None:
    sources, rejects, quarantine = (rows(built.dataset, table) for table in ("sources", "rejects", "quarantine"))
    listed = Counter(row["id"] for row in (*rejects, *quarantine) if row["subject"] == "candidate")
    assert listed == Counter(row["candidate_id"] for row in sources if row["status"] != "kept")
    assert all(row["reason"] and json.loads(row["evidence"]) for row in rejects)
    assert all(row["error"] and row["message"] and row["detail"] and row["attempts"] for row in quarantine)


def test_a_quarantined_file_can_be_replayed_by_the_command_that_stands_beside_it(built: Built) -> None:
    row = next(row for row in rows(built.dataset, "quarantine") if "truncated" in row["uri"])
    program, *arguments = row["replay"].split()
    assert program == "demix"
    ran = demix(*arguments)
    assert ran.status == 1
    assert row["message"] in ran.out


def test_clips_add_up_in_manifests_report_and_on_the_screen(built: Built) -> None:
    clips, rejects = rows(built.dataset, "clips"), rows(built.dataset, "rejects")
    dropped = [row for row in rejects if row["subject"] == "clip"]
    sources = rows(built.dataset, "sources")
    assert sum(row["clips"] for row in sources) == len(clips) + len(dropped)
    assert sum(row["kept_clips"] for row in sources) == len(clips) == 4
    reasons = Counter(row["reason"] for row in dropped)
    assert reasons == {"too_short": 1, "no_audio": 1, "voice_over": 1, "no_subset": 1}
    report = numbers(built.dataset)
    assert report["sources"] == len(sources)
    assert report["kept"]["clips"] == len(clips)
    for reason in reasons:
        assert f"{reason} 1" in built.ran.out
    assert f"{len(clips)} clips" in built.ran.out


def test_the_dataset_proves_itself(built: Built) -> None:
    ran = demix("verify", built.dataset, "--workers", 1)
    assert ran.status == 0, ran.out
    assert all(line.startswith("verify: ") for line in ran.err.splitlines()), "nothing but how far it is"


def test_a_build_of_broken_files_alone_says_what_is_wrong(corpus: Corpus, tmp_path: Path) -> None:
    shutil.copytree(corpus.folder / "broken", tmp_path / "films")
    for name in ("-copy of address.mkv", "radio play.mp4", "d\u00e9chir\u00e9.mp4"):
        (tmp_path / "films" / name).unlink()
    ran = demix("build", tmp_path / "films", "--output", tmp_path / "data", *SEQUENTIAL)
    assert ran.status == 1
    assert "no source could be used" in ran.err
    assert "3 not_media" in ran.err
    assert "1 failed" in ran.err
    assert {row["status"] for row in rows(tmp_path / "data", "sources")} == {"dropped", "failed"}
    assert demix("verify", tmp_path / "data").status == 0, "an empty dataset is true all the same"


def test_no_kept_clip_is_an_exit_status_with_a_way_out(corpus: Corpus, tmp_path: Path) -> None:
    film = corpus.good / "silent film.mp4"
    ran = demix("build", film, "--output", tmp_path / "data", *SEQUENTIAL)
    assert ran.status == 1
    assert "no clip was kept (1 no_audio)" in ran.err
    assert "--set" in ran.err


@pytest.mark.parametrize(("share", "status"), [(0.5, 1), (0.6, 0)])
def test_too_many_failures_are_an_exit_status(corpus: Corpus, tmp_path: Path, share: float, status: int) -> None:
    """Two of the three films given are broken beyond reading: more than half, less than 0.67."""
    films = tmp_path / "films"
    films.mkdir()
    shutil.copy(corpus.folder / "broken/truncated.mp4", films)
    shutil.copy(corpus.good / "silent film.mp4", films)
    limits = ("--set", f"limits.max_failed_sources={share - 0.1}")
    ran = demix("index", films, "--output", tmp_path / "data", *SEQUENTIAL, *limits)
    assert ran.status == status, ran.err
    if status:
        assert "1 of 2 sources failed, more than limits.max_failed_sources=0.4" in ran.err
        assert "--retry-failed" in ran.err


def test_real_films_and_odd_files_all_come_to_an_end(shared_media: Path, tmp_path: Path) -> None:
    """Only as far as the clip table: what the other stages make of real films is theirs to test."""
    ran = demix("index", shared_media / "odd", "--output", tmp_path / "data", *SEQUENTIAL)
    assert ran.status == 0, ran.err
    count = sum(1 for path in (shared_media / "odd").rglob("*") if path.is_file() and not path.name.startswith("."))
    assert f"{count} source files named" in ran.err


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_all_real_recordings_go_through_the_whole_build(shared_media: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    ran = demix("build", shared_media / "odd", shared_media / "video", "--output", data)
    assert ran.status == 0, ran.err
    files = [path for folder in ("odd", "video") for path in (shared_media / folder).rglob("*") if path.is_file()]
    assert len(rows(data, "sources")) == len([path for path in files if not path.name.startswith(".")])
    assert not [row for row in rows(data, "quarantine") if row["subject"] == "clip"]
    assert demix("verify", data).status == 0
