"""What a person types: every command, its exit status, and what it says when it cannot be done."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import yaml

from demix.engine import lock, log
from tests.build import cheap
from tests.build.corpus import ADDRESS
from tests.build.running import SEQUENTIAL, child, demix, python, rows, tree
from tests.films import make_film
from tests.media.films import write_film

OPTIONS = (*cheap.OPTIONS, "--set", "caption.max_frames=8")


@pytest.fixture(autouse=True)
def no_logs_left() -> Iterator[None]:
    """Commands send this process's events to files of their work store, which other tests do not have."""
    yield
    log.configure(None)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("films") / "address.mp4"
    make_film(path, ADDRESS, rate=25, size=(240, 180), seed=2)
    return path


@pytest.fixture(scope="module")
def dataset(film: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made by the four commands one after the other."""
    folder = tmp_path_factory.mktemp("data") / "dataset"
    cheap.register()
    places = ("--output", folder, *SEQUENTIAL)
    indexed = demix("index", film, "--kind", "talking_head", *places, *OPTIONS)
    assert indexed.status == 0, indexed.err
    assert "1 clips are in the clip table" in indexed.out
    early = demix("pack", *places)
    assert early.status == 2
    assert "run `demix annotate --output " in early.err
    annotated = demix("annotate", *places)
    assert annotated.status == 0, annotated.err
    packed = demix("pack", *places, "--keep-work")
    assert packed.status == 0, packed.err
    assert "1 clips (0.00 h) in 1 shards" in packed.out
    return folder


def test_the_parts_make_what_build_makes(dataset: Path, film: Path) -> None:
    before = tree(dataset)
    command = ("build", film, "--kind", "talking_head", "--output", dataset, "--keep-work", *SEQUENTIAL)
    again = demix(*command, *OPTIONS)
    assert again.status == 0
    assert "nothing was left to do" in again.out
    assert tree(dataset) == before
    assert json.loads((dataset / "build.json").read_text())["config"]["caption"]["max_frames"] == 8


def test_verify_says_what_is_wrong_with_which_file(dataset: Path, tmp_path: Path) -> None:
    assert demix("verify", dataset, "--workers", 1).status == 0
    copy = tmp_path / "copy"
    shutil.copytree(dataset, copy, ignore=shutil.ignore_patterns(".work"))
    tar = next(copy.rglob("*.tar"))
    data = bytearray(tar.read_bytes())
    data[len(data) // 2] ^= 1
    tar.write_bytes(data)
    found = demix("verify", copy, "--workers", 1)
    assert found.status == 1
    assert tar.name in found.out
    assert demix("verify", tmp_path / "nowhere").status == 2


def test_report_is_made_again(dataset: Path, tmp_path: Path) -> None:
    page = dataset / "report/index.html"
    before = (dataset / "report/report.json").read_bytes()
    page.unlink()
    ran = demix("report", dataset)
    assert ran.status == 0, ran.err
    assert str(page) in ran.out
    assert page.is_file()
    assert (dataset / "report/report.json").read_bytes() == before
    assert demix("report", tmp_path).status == 2


def test_show_prints_everything_of_a_clip_and_a_source(dataset: Path) -> None:
    [clip] = rows(dataset, "clips")
    shown = demix("show", clip["clip_id"], "--output", dataset)
    assert shown.status == 0
    for name in ("kept", "clip_media", "demixing", "persons", "caption", "subsets", clip["clip_id"]):
        assert name in shown.out
    assert "shots" in demix("show", clip["source_id"], "--output", dataset).out
    unknown = demix("show", "feedfacefeedface", "--output", dataset)
    assert unknown.status == 2
    assert "no clip, source or candidate" in unknown.err


def test_replay_runs_one_stage_and_changes_nothing(dataset: Path, tmp_path: Path) -> None:
    """Also after the media were purged: those that the stage reads are made again."""
    copy = tmp_path / "copy"
    shutil.copytree(dataset, copy)
    shutil.rmtree(copy / ".work/media")
    before = {path: path.read_bytes() for path in (copy / ".work/ledger").rglob("*.parquet")}
    [clip] = rows(copy, "clips")
    ran = demix("replay", "--clip", clip["clip_id"], "--stage", "audio_quality", "--output", copy)
    assert ran.status == 0, ran.out
    assert ran.out.startswith("kept\n")
    assert json.loads(ran.out.removeprefix("kept\n")) == json.loads(clip["audio_quality"])
    assert {path: path.read_bytes() for path in (copy / ".work/ledger").rglob("*.parquet")} == before
    unknown = demix("replay", "--clip", clip["clip_id"], "--stage", "demix", "--output", copy)
    assert unknown.status == 2
    assert "its stages are length, clip_media" in unknown.err


def test_plan_says_what_is_done_and_what_would_run(dataset: Path, film: Path) -> None:
    done = demix("plan", "--output", dataset)
    assert done.status == 0
    line = next(line for line in done.out.splitlines() if " demixing " in f" {line} ")
    assert line.split()[-2:] == ["1", "0"]
    command = ("plan", film, "--kind", "talking_head", "--output", dataset)
    changed = demix(*command, *OPTIONS, "--set", "clip_media.short_side=240")
    line = next(line for line in changed.out.splitlines() if " demixing " in f" {line} ")
    assert line.split()[-2:] == ["0", "1+"]


def test_a_dry_run_changes_nothing(film: Path, tmp_path: Path) -> None:
    ran = demix("build", film, "--output", tmp_path / "data", "--dry-run")
    assert ran.status == 0, ran.err
    assert "probe" in ran.out
    assert list(tmp_path.iterdir()) == []


def test_limit_takes_the_first_films_only(film: Path, tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        (tmp_path / name).write_text("no film")
    ran = demix("index", tmp_path, "--limit", 2, "--output", tmp_path / "data", *SEQUENTIAL)
    assert "2 source files named" in ran.err
    assert ran.status == 1
    assert "no source could be used (2 not_media)" in ran.err


def test_a_small_file_that_lasts_for_hours_is_dropped_and_accounted_for(film: Path, tmp_path: Path) -> None:
    """Two pictures 20,000 s apart would be a thousand clips of one picture each."""
    pictures = [np.full((64, 64, 3), grey, np.uint8) for grey in (40, 200)]
    sparse = write_film(tmp_path / "sparse.mp4", pictures, times=[0, 20_000], tick=Fraction(1))
    assert sparse.stat().st_size < 10_000
    places = ("--output", tmp_path / "data", *SEQUENTIAL)
    ran = demix("index", film, sparse, *places)
    assert ran.status == 0, ran.err
    assert "too_few_frames 1" in ran.out
    allowed = demix(
        "index", film, sparse, *places, "--set", "probe.limits.min_frame_rate=0", "--set", "shots.max_clips=99"
    )
    assert "too_many_shots 1" in allowed.out, allowed.err


def test_failed_items_are_tried_again_when_asked(film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ("index", film, "--output", tmp_path / "data", *SEQUENTIAL)
    with monkeypatch.context() as broken:

        def fails(*_: object) -> None:
            raise RuntimeError("the disk is away")

        broken.setattr("demix.media.probe.probe", fails)
        first = demix(*command)
        assert first.status == 1
        assert "no source could be used (1 failed)" in first.err
    assert demix(*command).status == 1, "what failed stays so"
    ran = demix(*command, "--retry-failed")
    assert ran.status == 0, ran.err


def test_two_builds_in_one_place_are_refused(film: Path, tmp_path: Path) -> None:
    with lock.held(tmp_path / "data"):
        ran = demix("build", film, "--output", tmp_path / "data", *SEQUENTIAL)
        assert ran.status == 2
        assert "another build works here (process " in ran.err
    assert not (tmp_path / "data/.lock").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["build", "FILM", "--set", "shots.max_second=3"], "did you mean max_seconds?"),
        (["build", "FILM", "--set", "demixing.three=lit"], "did you mean lite?"),
        (["build", "FILM", "--profile", "paperr"], "there is no profile 'paperr'"),
        (["build", "FILM", "--config", "absent.yaml"], "absent.yaml: cannot be read"),
        (["build", "absent.mp4"], "absent.mp4: no such file or folder"),
        (["annotate"], "nothing was built here"),
        (["pack"], "nothing was built here"),
        (["show", "0123"], "nothing was built here"),
        (["plan"], "nothing was built here"),
        (["build", "FILM", "--set", "engine.runner=dask"], "choose auto, ray or sequential"),
    ],
)
def test_what_cannot_be_done_says_why_and_exits_with_2(
    film: Path, tmp_path: Path, arguments: list[str], says: str
) -> None:
    ran = demix(*(str(film) if word == "FILM" else word for word in arguments), "--output", tmp_path / "data")
    assert ran.status == 2, ran.err
    assert says in ran.err
    assert ran.err.startswith(f"demix {arguments[0]}: ") or "source files named" in ran.err


def test_a_place_that_cannot_be_written_is_named(film: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    ran = demix("build", film, "--output", tmp_path / "file/data", *SEQUENTIAL)
    assert ran.status == 2
    assert "choose another --output or --work" in ran.err


def test_doctor_finds_a_sound_machine_and_a_broken_one() -> None:
    ran = demix("doctor")
    assert ran.status == 0, ran.out
    assert "encoder libx264" in ran.out
    ran = child("doctor", "--set", 'order=["length"]', "--set", "clip_media.ffmpeg=/nowhere/ffmpeg")
    assert ran.status == 1


def test_config_prints_what_a_build_reads(film: Path, tmp_path: Path) -> None:
    printed = demix("config", "--set", "shots.max_seconds=12")
    assert yaml.safe_load(printed.out)["shots"]["max_seconds"] == 12
    mine = tmp_path / "mine.yaml"
    mine.write_text(printed.out)
    assert demix("config", "--config", mine).out == printed.out
    assert "`shots.max_seconds`" in demix("config", "--reference").out


def test_help_is_instant_because_it_imports_nothing() -> None:
    code = (
        "import sys; from demix.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit as exit: status = exit.code\n"
        "heavy = {'numpy', 'pyarrow', 'pydantic', 'yaml', 'ray', 'torch', 'av', 'cv2', 'rich', 'fsspec'}\n"
        "print(sorted(heavy.intersection(sys.modules)), status)"
    )
    ran = python("-c", code)
    assert ran.out.splitlines()[-1] == "[] 0"
    for command in ("build", "index", "annotate", "pack", "report", "verify", "doctor", "plan", "show", "replay"):
        assert f"\n    {command}" in ran.out


def test_the_pipeline_script_is_the_build_command() -> None:
    ran = python("pipelines/build_demix.py", "--help")
    assert ran.status == 0, ran.err
    assert "--retry-failed" in ran.out
    assert "FILMS" in ran.out
