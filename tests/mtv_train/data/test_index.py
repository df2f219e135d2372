"""Guards, on real tars: clips are indexed by their own subsets and splits, unusable ones refused or left out by name,
and a dataset that changed is another."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from mtv_train.data.errors import DatasetError
from mtv_train.data.index import DatasetIndex
from mtv_train.data.settings import DataSettings
from tests.mtv_train.data.small import CLIPS, WINDOW, load, open_index, same
from tests.mtv_train.datasets import TinyClip, write_tars


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> DatasetIndex:
    return open_index(write_tars(tmp_path_factory.mktemp("tars"), CLIPS))


def test_plain_tars_are_indexed_by_their_own_subsets_and_splits(tmp_path: Path) -> None:
    held_out = TinyClip(11, split="test")
    plain = TinyClip(12, instead={"json": None})
    both = TinyClip(13, subsets=("single_character", "sound_event"))
    folder = write_tars(tmp_path, [*CLIPS, held_out, plain, both])
    index = open_index(folder)
    assert index.subsets == ("all", "single_character", "sound_event")
    expected = [clip for clip in (*CLIPS, both) if "sound_event" in clip.subsets]
    assert index.count("sound_event") == sum((clip.frames - 9) // 2 + 1 for clip in expected)
    assert index.count("all") == (12 - 9) // 2 + 1
    settings_ = DataSettings(dataset=str(folder), window=WINDOW)
    test = DatasetIndex.open(settings_, "test")
    assert [test.clip(number).key for number in range(test.clips)] == ["clip0011"]
    with pytest.raises(DatasetError, match="no clip is in the subset 'visual_mood'; there are all, single"):
        index.count("visual_mood")


def test_names_of_subsets_may_be_any_text(tmp_path: Path) -> None:
    clips = [TinyClip(0, subsets=("süß", "x")), TinyClip(1, subsets=("x",)), TinyClip(2, subsets=("x" * 40,))]
    index = open_index(write_tars(tmp_path, clips))
    assert index.subsets == tuple(sorted(("süß", "x", "x" * 40)))
    assert [index.window(name, 0).clip.key for name in ("süß", "x" * 40)] == ["clip0000", "clip0002"]
    assert index.count("x") == 2 * index.count("süß")


def test_a_dataset_without_a_usable_clip_has_no_subset(tmp_path: Path) -> None:
    folder = write_tars(tmp_path, [TinyClip(5, instead={"speech.flac": None})])
    index = open_index(folder, unusable="leave_out")
    assert (index.clips, index.subsets, index.longest) == (0, (), 0)


def test_a_clip_too_short_for_a_window_has_none(tmp_path: Path) -> None:
    index = open_index(write_tars(tmp_path, [TinyClip(0, frames=8), TinyClip(1, frames=9)]))
    assert index.clips == 1
    assert index.window("single_character", 0).key == "clip0001@0"


def test_unusable_clips_are_refused_by_name_or_left_out(tmp_path: Path) -> None:
    clips = [CLIPS[1], TinyClip(5, instead={"speech.flac": None}), TinyClip(6, instead={"mp4": b"none"})]
    folder = write_tars(tmp_path, clips)
    with pytest.raises(DatasetError, match=r"2 of 3 clips cannot be used: .*clip0005.*no member speech\.flac"):
        open_index(folder)
    index = open_index(folder, unusable="leave_out")
    assert index.clips == 1
    assert index.left_out == ["clip0005", "clip0006"]


def test_a_dataset_that_changed_is_another(tmp_path: Path) -> None:
    before = open_index(write_tars(tmp_path, CLIPS[:4])).fingerprint()
    assert open_index(tmp_path).fingerprint() == before
    changed = [*CLIPS[:3], TinyClip(3, subsets=CLIPS[3].subsets, caption="Another text.")]
    assert open_index(write_tars(tmp_path, changed)).fingerprint() != before
    wider = WINDOW.model_copy(update={"stride": 4})
    assert DatasetIndex.open(DataSettings(dataset=str(tmp_path), window=wider)).fingerprint() != before


def test_tars_are_read_from_an_object_store_alike(tmp_path: Path, index: DatasetIndex) -> None:
    import fsspec

    files = fsspec.filesystem("memory")
    folder = write_tars(tmp_path, CLIPS)
    for tar in folder.glob("*.tar"):
        files.pipe_file(f"/bucket/{tar.name}", tar.read_bytes())
    remote = DatasetIndex.open(
        DataSettings(dataset="memory://bucket", window=WINDOW, index_cache=str(tmp_path / "index"))
    )
    assert remote.shards[0].startswith("memory://")
    assert remote.fingerprint() == index.fingerprint()
    assert all(same(a, b) for a, b in zip(load(index, 1, batch=6), load(remote, 1, batch=6), strict=True))


def test_hidden_files_are_no_members(tmp_path: Path) -> None:
    """As macOS's own tar puts beside others."""
    folder = write_tars(tmp_path, CLIPS[:2])
    (folder / "._000.tar").write_bytes(b"\0" * 100)
    with tarfile.open(folder / "000.tar", "a") as tar:
        info = tarfile.TarInfo("./._clip0000.mp4")
        info.size = 4
        tar.addfile(info, io.BytesIO(b"\x00\x05\x16\x07"))
    assert open_index(folder).clips == 2
