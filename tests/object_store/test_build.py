"""Guards: films, work store and dataset on S3. What is built there has the bytes of a build on a disk, every command
reads it, a kill at any write changes nothing, and nothing is left in the working folder."""

from __future__ import annotations

import hashlib
from pathlib import Path

import fsspec
import pytest

from demix.dataset.reader import Dataset
from mtv_train.data.index import DatasetIndex
from mtv_train.data.settings import DataSettings, LoaderSettings, WindowSettings
from mtv_train.data.shards import Shards
from tests.build import cheap
from tests.build._kills import ALL, TWO
from tests.build.running import Ran, demix, python, tree

OPTIONS = (
    "--runner",
    "sequential",
    *cheap.OPTIONS,
    "--set",
    "pack.target_bytes=400000",
    "--set",
    "pack.test_share=0.4",
)


@pytest.fixture(scope="module")
def on_disk(films: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    dataset = tmp_path_factory.mktemp("disk") / "dataset"
    assert demix("build", films, "--output", dataset, *OPTIONS).status == 0
    return dataset


@pytest.fixture
def on_s3(films: Path, bucket: str) -> str:
    """The films on S3; the address of a dataset to be."""
    fsspec.filesystem("s3").put(str(films), f"{bucket}/films", recursive=True)
    return f"{bucket}/demix"


def stored(address: str) -> dict[str, str]:
    """sha256 of every object of a dataset but its report and its work store."""
    files = fsspec.filesystem("s3", use_listings_cache=False)
    root = address.removeprefix("s3://")
    found = {name[len(root) + 1 :]: name for name in files.find(root)}
    return {
        key: hashlib.sha256(files.cat_file(name)).hexdigest()
        for key, name in sorted(found.items())
        if not key.startswith((".work/", "report/"))
    }


def build(dataset: str, *more: str) -> Ran:
    return demix("build", f"{dataset.rpartition('/')[0]}/films", "--output", dataset, *OPTIONS, *more)


def test_a_dataset_on_s3_is_that_of_a_disk_and_every_command_reads_it(
    on_s3: str, on_disk: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    ran = build(on_s3)
    assert ran.status == 0, ran.err
    assert f"dataset {on_s3}," in ran.err
    shards = {name: digest for name, digest in stored(on_s3).items() if name.startswith("shards/")}
    assert shards == {name: digest for name, digest in tree(on_disk).items() if name.startswith("shards/")}
    assert "nothing was left to do" in build(on_s3).out

    clip = next(Dataset(on_s3).samples()).clip_id
    for command in (
        ("verify", on_s3, "--workers", "1"),
        ("show", clip, "--output", on_s3),
        ("report", on_s3),
        ("calibrate", on_s3),
        ("plan", "--output", on_s3),
        ("pack", "--output", on_s3),
        ("replay", "--clip", clip, "--stage", "length", "--output", on_s3),
    ):
        ran = demix(*command)
        assert ran.status == 0, (command, ran.err)
    assert not list(Path.cwd().iterdir()), "an address is no folder"
    assert not list(tmp_path.glob("demix-????????/*")), "temporary files are removed"
    assert not list(tmp_path.glob("demix-store-*/*")), "copies of the store are removed"

    check_training_reads(on_s3, on_disk, tmp_path / "index")

    damaged = next(name for name in shards if name.endswith(".tar"))
    files = fsspec.filesystem("s3")
    data = bytearray(files.cat_file(f"{on_s3}/{damaged}"))
    data[len(data) // 2] ^= 1
    files.pipe_file(f"{on_s3}/{damaged}", bytes(data))
    ran = demix("verify", on_s3, "--workers", "1")
    assert ran.status == 1
    assert damaged in ran.out


def check_training_reads(remote_place: str, local_place: Path, cache: Path) -> None:
    """The clips of the index and the bytes of every member are those of the disk."""
    window = WindowSettings(frames=9, stride=40, height=48, width=64)
    local, remote = (
        DatasetIndex.open(DataSettings(dataset=str(place), index_cache=str(cache), window=window))
        for place in (local_place, remote_place)
    )
    assert local.fingerprint() == remote.fingerprint()
    assert local.clips == remote.clips > 1
    here, there = Shards(local.shards), Shards(remote.shards, read_ahead_bytes=LoaderSettings().read_ahead_bytes)
    for number in range(local.clips):
        one, other = local.clip(number), remote.clip(number)
        there.expect([other], other.members)
        assert here.read(one, one.members) == there.read(other, other.members)
    there.close()


def kills(which: str, dataset: str, undisturbed: dict[str, str]) -> int:
    """Kills a build again and again; how many kills there were."""
    films = f"{dataset.rpartition('/')[0]}/films"
    ran = python("-m", "tests.build._kills", which, "build", films, "--output", dataset, *OPTIONS)
    lines = ran.out.splitlines()
    assert '"status": 0' in lines[-1], ran.out + ran.err
    assert stored(dataset) == undisturbed
    files = fsspec.filesystem("s3", use_listings_cache=False)
    assert not files.exists(f"{dataset}/.work/media")
    assert demix("verify", dataset, "--workers", "1").status == 0
    return sum('"status": -9' in line for line in lines)


def undisturbed(dataset: str) -> dict[str, str]:
    assert build(dataset).status == 0
    found = stored(dataset)
    fsspec.filesystem("s3").rm(dataset, recursive=True)
    return found


def test_a_few_kills_change_no_byte(on_s3: str) -> None:
    assert kills("two", on_s3, undisturbed(on_s3)) == len(TWO)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_forty_kills_change_no_byte(on_s3: str) -> None:
    assert kills("all", on_s3, undisturbed(on_s3)) == len(ALL) >= 40
