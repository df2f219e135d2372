"""Guards: a cache holds what a step would compute; killed anywhere and started again it is the same; made again it does
nothing; what cannot be encoded is named; a cache made for other data, windows or encoders is refused."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
import torch

from demix.config import ConfigError
from demix.engine.runner import EngineSettings
from demix.store import Store
from mtv_train.cli import main
from mtv_train.config import StageSettings, TrainSettings
from mtv_train.data.batch import BadSample, Batch
from mtv_train.data.index import DatasetIndex
from mtv_train.data.loader import Loader
from mtv_train.data.order import StageMix
from mtv_train.precompute.caches import captions_cut, open_caches
from mtv_train.precompute.encode import Precomputation
from mtv_train.recipes import load
from mtv_train.train.session import Options, make_encoders, train
from tests.mtv_train.datasets import TinyClip, write_tars
from tests.mtv_train.train.ranks import in_ranks, losses

SEQUENTIAL = ("--runner", "sequential")
PARTS = ("latents", "text", "audio")
CLIPS = [TinyClip(number, frames=12 + number % 3, caption="Twice." if number < 2 else "") for number in range(6)]
WINDOW = ("data.window.stride=2", "data.window.frames=9")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tars(tmp_path_factory.mktemp("tars"), CLIPS)


@pytest.fixture(scope="module")
def cache(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    assert precompute(dataset, folder) == 0
    return folder


def precompute(dataset: Path, cache: Path, *options: str) -> int:
    settings = [word for text in WINDOW for word in ("--set", text)]
    return main(["precompute", str(dataset), "--recipe", "tiny", "--out", str(cache), *SEQUENTIAL, *settings, *options])


def settings_of(dataset: Path, cache: Path | None = None, *more: str) -> TrainSettings:
    cached = [f"data.cache={cache}", "data.cached=[latents,text,audio]"] if cache else []
    return load("tiny", assignments=[f"data.dataset={dataset}", *WINDOW, *cached, *more])


def files(cache: Path) -> dict[str, bytes]:
    """What a cache holds, without the engine's own."""
    found = (path for name in ("media", "text", "whole", "quarantine") for path in (cache / name).rglob("*"))
    whole = (path for path in found if path.is_file() and not path.name.startswith("."))
    return {path.relative_to(cache).as_posix(): path.read_bytes() for path in whole}


def first_batch(settings: TrainSettings, size: int = 6) -> Batch:
    index = DatasetIndex.open(settings.data)
    mix = StageMix("single_character", {"single_character": 1.0})
    loader = Loader(index, mix, 0, settings.data.loader, batch=size, caches=open_caches(settings, index))
    encoders, _ = make_encoders(settings, torch.device("cpu"))
    batch = encoders(next(loader))
    loader.close()
    return batch


def test_a_cache_holds_what_a_step_computes_bit_for_bit(dataset: Path, cache: Path) -> None:
    raw, cached = first_batch(settings_of(dataset), 12), first_batch(settings_of(dataset, cache), 12)
    assert raw.keys == cached.keys
    assert raw.latents is not None
    assert cached.latents is not None
    assert torch.equal(raw.latents.mean, cached.latents.mean)
    assert torch.equal(raw.latents.logvar, cached.latents.logvar)
    assert raw.text is not None
    assert cached.text is not None
    assert torch.equal(raw.text, cached.text)
    assert raw.audio is not None
    assert cached.audio is not None
    assert raw.audio.tracks.keys() == cached.audio.tracks.keys()
    assert all(torch.equal(raw.audio.tracks[track], cached.audio.tracks[track]) for track in raw.audio.tracks)
    assert len({row.sum().item() for row in raw.latents.mean.double()}) > 6, "the windows must differ"


def test_every_window_and_every_text_is_there_once(cache: Path) -> None:
    found = files(cache)
    windows = sum(len(range(0, clip.frames - 9 + 1, 2)) for clip in CLIPS)
    assert sum(name.startswith("media/") for name in found) == 2 * windows  # latents and sound
    assert sum(name.startswith("text/") for name in found) == len(CLIPS) - 1  # two clips share a text
    assert sum(name.startswith("whole/") for name in found) == 3
    assert not any(name.startswith("quarantine/") for name in found)


def test_training_on_a_cache_gives_the_same_losses(dataset: Path, cache: Path, tmp_path: Path) -> None:
    short = ("validation.every=0", "log.samples=true", "optim.batch=2", "optim.warmup_steps=0")

    def trained(settings: TrainSettings, run: Path) -> None:
        stages = {"single_character": StageSettings(steps=3, weights={"single_character": 1.0})}
        train(settings.model_copy(update={"stages": stages}), run, Options(device="cpu"))

    for name, settings in (
        ("raw", settings_of(dataset, None, *short)),
        ("cached", settings_of(dataset, cache, *short)),
    ):
        in_ranks(1, trained, settings, tmp_path / name)
    found = losses(tmp_path / "cached")
    assert len(found) == 6
    assert found == losses(tmp_path / "raw")


def test_given_again_it_starts_nothing(
    dataset: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(settings: EngineSettings) -> None:
        raise AssertionError("a runner was made")

    monkeypatch.setattr("mtv_train.precompute.encode.make_runner", refuse)
    before = {path: path.stat().st_mtime_ns for path in cache.rglob("*") if path.suffix in (".safetensors", ".parquet")}
    assert precompute(dataset, cache) == 0
    assert capsys.readouterr().out.splitlines() == [f"{part}: 6 clips, nothing to do" for part in PARTS]
    (mark,) = (cache / "whole").glob("latents-*.json")
    mark.unlink()  # even so the ledger knows
    assert precompute(dataset, cache) == 0
    assert mark.exists()
    assert before == {path: path.stat().st_mtime_ns for path in before}


def killed_at(rename: int, work: Callable[[], object]) -> int:
    """Exit status of a forked child that kills itself instead of its `rename`-th renaming."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    real, seen = os.replace, iter(range(1, 1 << 20))

    def replace(source: str, target: str) -> None:
        if next(seen) == rename:
            os.kill(os.getpid(), signal.SIGKILL)
        real(source, target)

    os.replace = replace  # type: ignore[assignment]
    try:
        work()
    finally:
        os._exit(0)


def test_killed_anywhere_and_started_again_it_is_the_same(dataset: Path, cache: Path, tmp_path: Path) -> None:
    """Killed later each time, until it lives: within a clip's windows, between clips, in the ledger, at the mark."""
    deaths = 0
    for rename in count(1, 5):
        status = killed_at(rename, lambda: precompute(dataset, tmp_path))
        if status == 0:
            break
        assert status == -signal.SIGKILL
        deaths += 1
    assert deaths >= 5
    assert precompute(dataset, tmp_path) == 0
    assert files(tmp_path) == files(cache)
    assert not list((tmp_path / "media").rglob(".*")), "what died writers left is swept away"


@pytest.mark.slow
def test_ray_makes_the_same_files(dataset: Path, cache: Path, tmp_path: Path) -> None:
    assert precompute(dataset, tmp_path, "--runner", "ray", "--address", "local") == 0
    assert files(tmp_path) == files(cache)


def test_a_bad_clip_is_quarantined_and_costs_its_neighbours_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_tars(tmp_path / "tars", [*CLIPS[:3], TinyClip(3, instead={"music.flac": b"noise"})])
    assert precompute(folder, tmp_path / "cache") == 1
    said = capsys.readouterr()
    assert "audio: 4 clips, 1 failed, 8 files" in said.out
    assert "latents: 4 clips, 0 failed" in said.out
    assert "clip0003: sample clip0003: sound: music" in said.err
    assert "--retry-failed" in said.err
    (listed,) = (tmp_path / "cache/quarantine").iterdir()
    (row,) = map(json.loads, listed.read_text().splitlines())
    assert row["clip"] == "clip0003"
    assert row["error"] == "SampleError"

    lenient = ("data.loader.max_bad_share=1",)
    bad: dict[str, list[BadSample]] = {}
    keys: dict[str, tuple[str, ...]] = {}
    for name, settings in (
        ("raw", settings_of(folder, None, *lenient)),
        ("cached", settings_of(folder, tmp_path / "cache", *lenient)),
    ):
        batch = first_batch(settings)
        bad[name], keys[name] = list(batch.bad), batch.keys
    assert keys["raw"] == keys["cached"], "a sample that cannot be encoded is replaced as one that cannot be read"
    assert [(one.k, one.key, one.replaced_by) for one in bad["raw"]] == [
        (one.k, one.key, one.replaced_by) for one in bad["cached"]
    ]
    assert {one.kind for one in bad["raw"]} == {"sound"}
    assert {one.kind for one in bad["cached"]} == {"cache"}


@pytest.mark.parametrize(
    ("changed", "absent"),
    [
        ("data.window.height=32", {"latents"}),
        ("data.window.prompt=release", {"text"}),
        ("data.window.audio_context=window", {"audio"}),
        ("model.official_alignment=true", {"audio"}),
        ("parallel.precision=bfloat16", {"latents", "text"}),
        ("data.window.stride=3", {"latents", "audio"}),
        ("seed=1", {"latents", "text", "audio"}),
    ],
)
def test_a_key_covers_what_a_part_depends_on_and_no_more(
    changed: str, absent: set[str], dataset: Path, cache: Path, tmp_path: Path
) -> None:
    positions = ("model.backbone.sample_height=4",) if "height" in changed else ()
    settings = settings_of(dataset, cache, *positions, changed)
    index = DatasetIndex.open(settings.data)
    work = Precomputation(settings, index, Store(cache))
    left = {part for part in PARTS if work.pending(part)[0]}  # type: ignore[arg-type]
    assert left == absent


def test_another_dataset_finds_the_clips_that_it_shares(dataset: Path, cache: Path, tmp_path: Path) -> None:
    moved = write_tars(tmp_path / "moved", [*reversed(CLIPS), TinyClip(9)], per_tar=2)
    settings = settings_of(moved, cache)
    index = DatasetIndex.open(settings.data)
    assert Precomputation(settings, index, Store(cache)).pending("latents") == (1, 2)
    with pytest.raises(ConfigError, match=r"does not hold all latents and text and audio.*run `python -m mtv_train"):
        open_caches(settings, index)


def test_a_part_of_a_dataset_is_no_cache_of_it(dataset: Path, tmp_path: Path) -> None:
    assert precompute(dataset, tmp_path, "--limit", "2", "--what", "text") == 0
    settings = settings_of(dataset, tmp_path, "data.cached=[text]")
    index = DatasetIndex.open(settings.data)
    with pytest.raises(ConfigError, match="does not hold all text"):
        open_caches(settings, index)
    assert precompute(dataset, tmp_path, "--what", "text") == 0
    caches = open_caches(settings, index)
    assert caches is not None
    assert "text" in caches
    assert "latents" not in caches


def test_what_cannot_be_done_is_said_at_once(dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert precompute(dataset, tmp_path / "new", "--set", "data.window.crop=random") == 2
    assert "set data.window.crop=centre, or precompute the rest with --what text,audio" in capsys.readouterr().err
    assert precompute(dataset, tmp_path / "new", "--what", "latent") == 2
    assert "name some of latents, text, audio" in capsys.readouterr().err
    assert precompute(tmp_path / "absent", tmp_path / "new") == 2
    assert "neither a finished DEMIX dataset" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_captions_that_are_too_long_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where they are made, where that is asked again, and where training reads them. The tiny model reads 15 bytes."""
    clips = [TinyClip(0, caption="A street in the rain."), TinyClip(1), TinyClip(2, caption="A street by night, seen.")]
    dataset, cache = write_tars(tmp_path / "tars", clips), tmp_path / "cache"
    for _ in range(2):
        assert precompute(dataset, cache, "--what", "text") == 0
        assert "2 of 3 captions are longer than the text encoder takes (16 tokens)" in capsys.readouterr().out
    settings = settings_of(dataset, cache, "data.cached=[text]")
    assert captions_cut(settings, DatasetIndex.open(settings.data)) == 2
    assert captions_cut(settings_of(dataset), DatasetIndex.open(settings.data)) == 0


def test_a_dry_run_counts_and_writes_nothing(
    dataset: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert precompute(dataset, tmp_path / "new", "--dry-run") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("latents: 6 of 6 clips to encode, 16 windows, about 0.000 GB")
    assert not (tmp_path / "new").exists()
    assert precompute(dataset, cache, "--dry-run") == 0
    assert capsys.readouterr().out.splitlines()[0] == "latents: 6 clips, nothing to do"
