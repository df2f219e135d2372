"""Guards: a training run reads from S3 what it reads from a disk, to the bit, whatever the store's day is like; a store
that does not answer ends it with a sentence, and no sample is blamed."""

from __future__ import annotations

from pathlib import Path

import fsspec
import pytest
import s3fs

from demix.errors import MachineTrouble
from mtv_train.data.errors import StoreFailed, TooManyBadSamples
from mtv_train.data.index import DatasetIndex
from tests.mtv_train.data.small import CLIPS, load, open_index, same
from tests.mtv_train.datasets import write_tars
from tests.object_store.server import Weather, proxy


@pytest.fixture
def stored(bucket: str, tmp_path: Path) -> tuple[DatasetIndex, str]:
    """The index of a folder, and the address of the same tars on S3."""
    folder = write_tars(tmp_path / "tars", CLIPS)
    fsspec.filesystem("s3").put(str(folder), f"{bucket}/tars", recursive=True)
    return open_index(folder), f"{bucket}/tars"


def remote_index(address: str, cache: Path) -> DatasetIndex:
    return open_index(address, index_cache=str(cache))  # type: ignore[arg-type]


@pytest.mark.parametrize("workers", [0, 2])
def test_samples_from_s3_are_those_of_the_disk(stored: tuple[DatasetIndex, str], tmp_path: Path, workers: int) -> None:
    local, address = stored
    wanted = load(local, 6, batch=4)
    came = load(remote_index(address, tmp_path / "cache"), 6, batch=4, workers=workers)
    assert all(same(one, other) for one, other in zip(wanted, came, strict=True))
    greys = {clip.key: clip for clip in CLIPS}
    for batch in came:
        assert batch.video is not None
        for key, video in zip(batch.keys, batch.video, strict=True):
            name, _, first = key.partition("@")
            assert abs(float(video[0].float().mean()) - greys[name].grey(int(first))) < 2.5
        assert not batch.bad


def test_a_bad_day_changes_no_sample(
    stored: tuple[DatasetIndex, str], server: str, endpoint: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    local, address = stored
    weather = Weather(share=0.3, seed=4)
    with proxy(server, weather) as behind:
        endpoint.setenv("AWS_ENDPOINT_URL", behind)
        s3fs.S3FileSystem.clear_instance_cache()
        came = load(remote_index(address, tmp_path / "cache"), 6, batch=4)
    assert all(same(one, other) for one, other in zip(load(local, 6, batch=4), came, strict=True))
    assert weather.met, "nothing went wrong"
    assert not any(batch.bad for batch in came)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_store_that_is_down_ends_the_run_with_a_sentence(
    stored: tuple[DatasetIndex, str], server: str, endpoint: pytest.MonkeyPatch, tmp_path: Path, workers: int
) -> None:
    index = remote_index(stored[1], tmp_path / "cache")
    endpoint.setenv("DEMIX_STORE_SECONDS", "1")
    with proxy(server, Weather(share=1, faults=("503",))) as behind:
        endpoint.setenv("AWS_ENDPOINT_URL", behind)
        s3fs.S3FileSystem.clear_instance_cache()
        with pytest.raises(StoreFailed, match=r"s3://.*\.tar: cannot be read .*asked again for") as raised:
            load(index, 1, batch=2, workers=workers)
    assert isinstance(raised.value, MachineTrouble)


def test_a_tar_that_is_shorter_than_its_index_is_the_samples_fault(
    stored: tuple[DatasetIndex, str], tmp_path: Path
) -> None:
    """A store's answer that was cut is read again; a file that was cut is not."""
    index = remote_index(stored[1], tmp_path / "cache")
    files = fsspec.filesystem("s3")
    [tar, *_] = sorted(files.find(stored[1]))
    files.pipe_file(tar, files.cat_file(tar)[:3000])
    with pytest.raises(TooManyBadSamples, match=r"read: s3://.* ends within mp4"):
        load(index, 3, batch=4)
