"""Guards, on real tars: ranks, workers and micro-batches change nothing, resuming is exact, bad samples are counted and
replaced always alike, too many stop the run, and frames, sound and texts are those of the clip that the key names."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mtv_train.data.batch import BadSample, Batch, join
from mtv_train.data.errors import TooManyBadSamples, WorkerDied
from mtv_train.data.index import DatasetIndex
from mtv_train.data.loader import Loader
from mtv_train.data.order import Order, StageMix
from mtv_train.data.settings import DataSettings, LoaderSettings, WindowSettings
from tests.mtv_train.data.small import CLIPS, MIX, load, open_index, same
from tests.mtv_train.datasets import RATE, TinyClip, write_tars


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> DatasetIndex:
    return open_index(write_tars(tmp_path_factory.mktemp("tars"), CLIPS))


def whole(ranks: Sequence[Iterable[Batch]]) -> list[Batch]:
    """The global batches of several ranks."""
    return [join(parts) for parts in zip(*ranks, strict=True)]


def test_a_sample_is_what_its_key_says(index: DatasetIndex) -> None:
    clips = {clip.key: clip for clip in CLIPS}
    [batch] = load(index, 1, batch=24)
    assert batch.video is not None
    assert batch.waves is not None
    assert batch.video.shape == (24, 9, 3, 48, 64)
    for key, video, waves, caption in zip(batch.keys, batch.video, batch.waves, batch.captions, strict=True):
        name, _, first = key.partition("@")
        clip = clips[name]
        assert caption == f"Scene {clip.number}."
        expected = [clip.grey(int(first) + frame) for frame in range(9)]
        assert np.abs(video.float().mean((1, 2, 3)).numpy() - expected).max() < 2.5
        assert (waves.frames, waves.first) == (clip.frames, int(first))
        for position, wave in enumerate(waves.waves.values()):
            assert len(wave) == round(clip.frames / 24 * RATE)
            spectrum = torch.fft.rfft(wave * torch.hann_window(len(wave)), n=RATE).abs()
            assert abs(int(spectrum.argmax()) - 200 * (1 + position) - clip.number) <= 1


@given(share=st.integers(1, 3), world=st.integers(1, 4), start=st.integers(0, 10**6))
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_ranks_change_nothing(index: DatasetIndex, share: int, world: int, start: int) -> None:
    size = share * world
    alone = load(index, 2, batch=size, samples_seen=start)
    ranks = [load(index, 2, batch=size, rank=rank, world=world, samples_seen=start) for rank in range(world)]
    assert all(same(one, other) for one, other in zip(whole(ranks), alone, strict=True))
    assert [k for batch in alone for k in batch.ks] == list(range(start, start + 2 * size))


@pytest.mark.parametrize(("workers", "prefetch", "share"), [(3, 2, 4), (1, 1, 3), (2, 5, 5), (1, 8, 3)])
def test_workers_change_nothing(index: DatasetIndex, workers: int, prefetch: int, share: int) -> None:
    """Also after the memory that samples travel through was used several times over, whatever travels together."""
    none = load(index, 9, batch=share)
    some = load(index, 9, batch=share, workers=workers, prefetch=prefetch)
    assert all(same(one, other) for one, other in zip(none, some, strict=True))


def test_workers_that_do_not_fork_change_nothing(index: DatasetIndex) -> None:
    settings_ = LoaderSettings(workers=1, start_method="forkserver")
    loader = Loader(index, MIX, 3, settings_, batch=2)
    try:
        assert same(next(loader), load(index, 1, batch=2)[0])
    finally:
        loader.close()


def test_micro_batches_are_parts_of_the_batch(index: DatasetIndex) -> None:
    [batch] = load(index, 1, batch=6)
    assert same(join(batch.split(3)), batch)
    with pytest.raises(ValueError, match="cannot be split into 4 equal parts"):
        batch.split(4)


def test_resumed_on_other_ranks_with_other_workers_it_goes_on_exactly(index: DatasetIndex) -> None:
    uninterrupted = load(index, 5, batch=4)
    loader = Loader(index, MIX, 3, LoaderSettings(workers=0), batch=4, rank=1, world=2)
    before = [next(loader) for _ in range(2)]
    state = loader.state()
    loader.close()
    assert state == {"stage": "stage", "samples_seen": 8}
    assert same(before[1], uninterrupted[1].split(2)[1])
    seen = state["samples_seen"]
    ranks = [load(index, 3, workers=rank % 2, batch=4, rank=rank, world=4, samples_seen=seen) for rank in range(4)]
    assert all(same(one, other) for one, other in zip(whole(ranks), uninterrupted[2:], strict=True))


def test_a_loader_goes_on_after_it_was_closed(index: DatasetIndex) -> None:
    """Also within what travels together."""
    loader = Loader(index, MIX, 3, LoaderSettings(workers=1, prefetch=4), batch=3)
    batches = []
    for _ in range(3):
        batches.append(next(loader))
        loader.close()
    assert all(same(one, other) for one, other in zip(batches, load(index, 3, batch=3), strict=True))


def test_a_batch_that_cannot_be_shared_is_refused(index: DatasetIndex) -> None:
    with pytest.raises(ValueError, match="cannot be shared evenly by 3 ranks"):
        Loader(index, MIX, 0, LoaderSettings(), batch=4, world=3)


def test_how_clips_lie_in_shards_changes_nothing(index: DatasetIndex, tmp_path: Path) -> None:
    other = open_index(write_tars(tmp_path, list(reversed(CLIPS)), per_tar=2))
    assert other.fingerprint() == index.fingerprint()
    assert all(same(a, b) for a, b in zip(load(index, 2, batch=6), load(other, 2, batch=6), strict=True))


def test_random_crops_are_drawn_from_the_samples_number(tmp_path: Path) -> None:
    wide = WindowSettings(frames=9, stride=2, height=32, width=32, crop="random")
    folder = write_tars(tmp_path, CLIPS[:4])
    crops = DatasetIndex.open(DataSettings(dataset=str(folder), window=wide))
    once, again = (load(crops, 1, batch=4) for _ in range(2))
    assert same(once[0], again[0])


# --- bad samples ------------------------------------------------------------------------------------------------------

BROKEN = TinyClip(20, frames=14, instead={"music.flac": b"noise"})


def broken_index(folder: Path) -> DatasetIndex:
    return open_index(write_tars(folder, [*(clip for clip in CLIPS if "single_character" in clip.subsets), BROKEN]))


def bad_of(index: DatasetIndex, workers: int, world: int = 1) -> tuple[list[BadSample], list[str]]:
    """(what was reported, keys of what was loaded) of the first samples, all ranks together."""
    told: list[BadSample] = []
    keys: list[str] = []
    for rank in range(world):
        loader = Loader(
            index,
            StageMix("stage", {"single_character": 1}),
            3,
            LoaderSettings(workers=workers, max_bad_share=1),
            batch=8,
            rank=rank,
            world=world,
            on_bad=told.append,
        )
        mine = [next(loader) for _ in range(3)]
        assert loader.bad_samples == sum(len(batch.bad) for batch in mine)
        keys += [key for batch in mine for key in batch.keys]
        loader.close()
    return sorted(told, key=lambda bad: (bad.k, bad.attempt)), sorted(keys)


def test_a_bad_sample_is_reported_and_replaced_always_alike(tmp_path: Path) -> None:
    index = broken_index(tmp_path)
    told, keys = bad_of(index, workers=0)
    assert told
    assert {bad.kind for bad in told} == {"sound"}
    assert all(bad.key.startswith("clip0020@") and "music" in bad.message for bad in told)
    assert len(keys) == 24
    assert not any(key.startswith("clip0020") for key in keys)
    assert all(bad.replaced_by in keys or bad.replaced_by.startswith("clip0020") for bad in told)
    assert bad_of(index, workers=2) == (told, keys)
    assert bad_of(index, workers=0, world=2) == (told, keys)


@pytest.mark.parametrize(
    ("instead", "kind"),
    [
        ({"mp4": TinyClip(20, frames=10).members()["mp4"]}, "short"),
        ({"speech.flac": TinyClip(20, frames=4).members()["speech.flac"]}, "short"),
        ({"effects.flac": b"noise"}, "sound"),
    ],
)
def test_every_kind_of_damage_has_a_name(instead: dict[str, bytes], kind: str, tmp_path: Path) -> None:
    """A short film is no damage: its length is taken from its pictures, so it only has fewer windows. Captions are
    looked at when the index is made (test_refused.py)."""
    clip = TinyClip(20, frames=14, instead=instead)
    index = open_index(write_tars(tmp_path, [*CLIPS[1:3], clip]))
    if "mp4" in instead:
        assert [index.clip_frames(index.clip(number)) for number in range(index.clips)] == [13, 14, 10]
        return
    told, _ = bad_of(index, workers=0)
    assert {bad.kind for bad in told} == {kind}


def test_bytes_that_are_not_the_indexs_are_found(tmp_path: Path) -> None:
    index = open_index(write_tars(tmp_path, CLIPS[1:3]))
    tar = tmp_path / "000.tar"
    data = bytearray(tar.read_bytes())
    member = index.clip(0).members["speech.flac"]
    data[member.offset + member.size // 2] ^= 1
    tar.write_bytes(data)
    told, _ = bad_of(index, workers=0)
    assert {(bad.kind, bad.key.partition("@")[0]) for bad in told} == {("hash", "clip0001")}
    assert "speech.flac" in told[0].message


def test_above_the_rate_the_run_stops(tmp_path: Path) -> None:
    index = broken_index(tmp_path)
    mix = StageMix("stage", {"single_character": 1})
    loader = Loader(index, mix, 3, LoaderSettings(workers=0, max_bad_share=0.02), batch=1)
    with pytest.raises(TooManyBadSamples, match=r"more than data\.loader\.max_bad_share=0\.02 allows.*clip0020"):
        list(islice(loader, 40))
    assert loader.bad_samples == 3, "two of a hundred are borne, the third is not"


def test_where_all_is_bad_the_run_stops_and_says_which(tmp_path: Path) -> None:
    index = open_index(write_tars(tmp_path, [BROKEN]))
    for workers in (0, 1):
        loader = Loader(
            index, StageMix("stage", {"single_character": 1}), 3, LoaderSettings(workers=workers, attempts=3), batch=1
        )
        with pytest.raises(TooManyBadSamples, match="bad, and so were all 3 replacements; the last: sample clip0020"):
            next(loader)
        loader.close()


def test_a_worker_that_is_killed_is_an_error_with_a_remedy(
    index: DatasetIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Order.item

    def deadly(self: Order, k: int) -> Any:
        if k >= 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(self, k)

    def meet() -> None:
        """In a process that ends at once, as a trainer does: torch raises again at every later moment."""
        loader = Loader(index, MIX, 3, LoaderSettings(workers=1, read_ahead=0), batch=1)
        try:
            list(islice(loader, 6))
        except WorkerDied as error:
            os.write(writing, str(error).encode())
        finally:
            os._exit(0)

    monkeypatch.setattr(Order, "item", deadly)
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        meet()
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as said:
        assert "lower data.loader.workers or data.loader.prefetch" in said.read()
