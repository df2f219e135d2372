"""What a second run does: nothing where nothing changed, and no more than a change asks for."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from demix.calibrate.again import judge_again
from demix.calibrate.config_file import settings_with, write_config
from demix.report.manifests import Manifests
from tests.build import cheap
from tests.build.conftest import Built
from tests.build.running import SEQUENTIAL, Ran, answers, demix, parts, python, rows, shards, tree

AFTER_DEMIX_FILTER = {"demix_filter", "caption", "subsets"}


OPTIONS = (*SEQUENTIAL, *cheap.OPTIONS)


@pytest.fixture
def copy(cheaply_built: Built, tmp_path: Path) -> Built:
    """The dataset built with cheap models, with its work store, to change."""
    assert cheaply_built.ran.status == 0, cheaply_built.ran.err
    shutil.copytree(cheaply_built.dataset, tmp_path / "dataset")
    return Built(cheaply_built.corpus, tmp_path / "dataset", cheaply_built.ran)


def again(built: Built, *options: str) -> Ran:
    return demix("build", built.corpus.manifest, "--output", built.dataset, "--keep-work", *OPTIONS, *options)


def asked(built: Built, before: dict[str, int]) -> set[str]:
    """The stages that answered anything since."""
    after = answers(built.work)
    return {key.rpartition("-")[0] for key, count in after.items() if count > before.get(key, 0)}


def test_a_second_run_does_no_work_and_says_so(built: Built, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a finished build must start no runner")

    monkeypatch.setattr("demix.build.make_runner", refuse)
    before, ledger = tree(built.dataset), answers(built.work)
    times = {path: path.stat().st_mtime_ns for path in built.dataset.rglob("*.parquet")}
    started = time.perf_counter()
    ran = demix("build", built.corpus.manifest, "--output", built.dataset, "--keep-work")  # the runner would be Ray
    assert time.perf_counter() - started < 10
    assert ran.status == 0
    assert "nothing was left to do" in ran.out
    assert (tree(built.dataset), answers(built.work), parts(built.work)) == (before, ledger, 0)
    assert {path: path.stat().st_mtime_ns for path in built.dataset.rglob("*.parquet")} == times


def test_a_second_run_imports_no_ray_and_takes_seconds(built: Built) -> None:
    arguments = ["build", str(built.corpus.manifest), "--output", str(built.dataset), "--keep-work"]
    ran = python(
        "-c",
        "import sys, time; from demix.cli import main\n"
        f"status = main({arguments!r})\n"
        "print('ray' in sys.modules, time.process_time() < 20); sys.exit(status)",
    )
    assert ran.status == 0, ran.err
    assert ran.out.splitlines()[-1] == "False True"


def test_a_caption_setting_runs_captions_only(copy: Built) -> None:
    before, old = answers(copy.work), rows(copy.dataset, "clips")
    ran = again(copy, "--set", "caption.frames_per_second=1")
    assert ran.status == 0, ran.err
    assert asked(copy, before) == {"caption"}
    assert [row["clip_id"] for row in rows(copy.dataset, "clips")] == [row["clip_id"] for row in old]


def test_limits_and_time_outs_run_nothing_again_but_what_failed(copy: Built) -> None:
    before, old = answers(copy.work), shards(copy.dataset)
    more = ("probe.limits.probe_seconds", "shots.limits.scan_seconds", "clip_media.limits.cut_seconds")
    ran = again(copy, *(part for name in more for part in ("--set", f"{name}=7000")))
    assert ran.status == 0, ran.err
    failed_sources = sum(end.startswith("failed") for end in copy.corpus.broken.values())
    after = answers(copy.work)
    fresh = {key.rpartition("-")[0]: count for key, count in after.items() if key not in before}
    assert fresh == {"probe": failed_sources}, "with another limit they might pass"
    assert {key: after[key] for key in before} == before
    assert shards(copy.dataset) == old


def test_a_threshold_judges_again_what_was_measured_and_what_hangs_on_it(copy: Built) -> None:
    before, old = answers(copy.work), rows(copy.dataset, "clips")
    ran = again(copy, "--set", "demix_filter.silence_db=-24")
    assert ran.status == 0, ran.err
    assert asked(copy, before) == AFTER_DEMIX_FILTER
    assert {row["clip_id"] for row in rows(copy.dataset, "clips")} <= {row["clip_id"] for row in old}
    assert [row["signature"] for row in rows(copy.dataset, "clips")] != [row["signature"] for row in old]
    assert demix("verify", copy.dataset, "--workers", 1).status == 0


def test_what_calibrate_foretells_of_thresholds_is_what_a_build_keeps(copy: Built, tmp_path: Path) -> None:
    """And the file that it writes makes nobody measure again: only captions of tracks that fell silent are new."""
    manifests = Manifests(copy.dataset)
    moved = settings_with(manifests.build["config"], {"length.min_seconds": 2.6, "demix_filter.silence_db": -24.0})
    foretold = judge_again(manifests.clips(), moved)
    write_config(tmp_path / "thresholds.yaml", moved)
    before = answers(copy.work)
    config = ("--config", tmp_path / "thresholds.yaml", *SEQUENTIAL)
    ran = demix("build", copy.corpus.manifest, "--output", copy.dataset, "--keep-work", *config)
    assert ran.status == 0, ran.err
    assert asked(copy, before) == {"length", *AFTER_DEMIX_FILTER}
    kept = rows(copy.dataset, "clips")
    assert len(kept) == foretold.kept
    assert foretold.dropped["length"] > 0
    found = Counter(subset for row in kept for subset in row["signature"].split("+"))
    assert found == foretold.subsets


def test_a_setting_of_shots_probes_nothing_again(copy: Built) -> None:
    before = answers(copy.work)
    old = {row["clip_id"] for row in rows(copy.dataset, "clips")}
    ran = again(copy, "--set", "shots.max_seconds=2.2", "--set", "length.min_seconds=5")
    assert ran.status == 1, "no clip is long enough any more"
    assert asked(copy, before) == {"shots", "length"}
    assert again(copy).status == 0
    assert {row["clip_id"] for row in rows(copy.dataset, "clips")} == old


def test_another_kind_is_judged_anew(copy: Built, tmp_path: Path) -> None:
    """What a source is called is no part of its content, but of what the stages are asked."""
    manifest = tmp_path / "sources.csv"
    manifest.write_text(f'uri,kind\n"{copy.corpus.good / "address.mp4"}",cinematic\n', encoding="utf-8")
    ran = demix("build", manifest, "--output", copy.dataset, "--keep-work", *OPTIONS)
    assert ran.status == 0, ran.err
    assert [row["signature"].split("+")[0] for row in rows(copy.dataset, "clips")] == ["single_character"]


def test_a_film_that_was_replaced_is_looked_at_again(copy: Built, tmp_path: Path) -> None:
    films = tmp_path / "films"
    films.mkdir()
    shutil.copy(copy.corpus.folder / "broken/truncated.mp4", films / "film.mp4")
    command = ("index", films, "--output", tmp_path / "data", *OPTIONS)
    assert demix(*command).status == 1
    shutil.copy(copy.corpus.good / "silent film.mp4", films / "film.mp4")
    ran = demix(*command)
    assert ran.status == 0, ran.err
    assert "1 clips are in the clip table" in ran.out


def test_a_source_that_is_not_named_any_more_leaves_the_dataset(copy: Built) -> None:
    assert again(copy).status == 0  # manifests of the copy hold commands with its own path
    before = tree(copy.dataset)
    ran = demix("build", copy.corpus.good / "feature film.mp4", "--output", copy.dataset, "--keep-work", *OPTIONS)
    assert ran.status == 0, ran.err
    assert len(rows(copy.dataset, "sources")) == 1
    assert {row["uri"].rpartition("/")[2] for row in rows(copy.dataset, "clips")} == {"feature film.mp4"}
    assert demix("verify", copy.dataset, "--workers", 1).status == 0
    assert again(copy).status == 0
    assert tree(copy.dataset) == before, "and comes back as it was"


def test_media_that_a_build_purged_come_back_for_a_changed_setting(copy: Built, tmp_path: Path) -> None:
    """A purge, then another way to cut and to caption: the dataset equals one built with these settings at once."""
    film = copy.corpus.good / "address.mp4"
    films = tmp_path / "films"
    films.mkdir()
    shutil.copy(film, films)
    changed = ("--set", "caption.frames_per_second=1", "--set", "persons.count_share=0.2")
    common = (films, "--kind", "talking_head", *OPTIONS)
    assert demix("build", *common, "--output", tmp_path / "a").status == 0
    assert not (tmp_path / "a/.work/media").exists()
    ran = demix("build", *common, "--output", tmp_path / "a", *changed)
    assert ran.status == 0, ran.err
    assert demix("build", *common, "--output", tmp_path / "b", *changed).status == 0
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    restored = pq.read_table(next((tmp_path / "a/.work/ledger").glob("persons-*.parquet")))
    assert len(restored) == 1


def test_films_that_moved_give_the_same_shards(copy: Built, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere/deeper"
    shutil.copytree(copy.corpus.folder, moved)
    before, bytes_before = answers(copy.work), shards(copy.dataset)
    ran = demix("build", moved / "sources.csv", "--output", copy.dataset, "--keep-work", *OPTIONS)
    assert ran.status == 0, ran.err
    assert asked(copy, before) == {"probe"}, "their content is known once they are read"
    assert shards(copy.dataset) == bytes_before
