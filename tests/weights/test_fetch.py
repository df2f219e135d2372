"""A set of weights comes whole, checked, once a machine, from a mirror or its home; else the remedy is said."""

from __future__ import annotations

import hashlib
import io
import multiprocessing
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from demix.config import ConfigError
from demix.weights import Cache, WeightFile, Weights, WeightsBroken, WeightsMissing
from demix.weights.fetch import adopt, fetch
from demix.weights.receipt import RANDOM, read
from tests.weights.server import Site, serving

CONTENT = np.random.default_rng(1).bytes(50_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def entry(*files: WeightFile) -> Weights:
    return Weights("toy", "demix_two", "a toy", "https://example.org", "MIT", "selling it", files)


def one(address: str, **facts: object) -> Weights:
    return entry(replace(WeightFile("model", "model.bin", f"{address}/model.bin"), **facts))  # type: ignore[arg-type]


def test_fetch_then_locate(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    with serving(Site({"/model.bin": CONTENT})) as site:
        toy = one(site.address, size=len(CONTENT), sha256=SHA256)
        with pytest.raises(
            WeightsMissing, match=r"model\.bin missing.*demix weights fetch toy.*MIT; forbids selling it"
        ):
            cache.locate(toy)
        assert [file.key for file in fetch(toy, cache)] == ["model"]
        assert fetch(toy, cache) == []
        assert len(site.requests) == 1
    assert cache.locate(toy)["model"].read_bytes() == CONTENT
    assert cache.revision(toy) == SHA256[:8]
    assert {path.name for path in (tmp_path / "toy").iterdir()} == {"model.bin", "receipt.json", ".lock"}


def test_missing_is_an_error_of_the_configuration() -> None:
    assert issubclass(WeightsMissing, ConfigError)
    assert issubclass(WeightsBroken, ConfigError)


@pytest.mark.parametrize("facts", [{"sha256": "0" * 64}, {"size": 49_999}])
def test_another_file_is_refused_and_does_not_stay(tmp_path: Path, facts: dict[str, object]) -> None:
    with serving(Site({"/model.bin": CONTENT})) as site, pytest.raises(WeightsBroken, match="toy"):
        fetch(one(site.address, **facts), Cache(tmp_path))
    assert [path.name for path in (tmp_path / "toy").iterdir()] == [".lock"]


def test_an_unknown_hash_is_recorded_and_holds_from_then_on(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    with serving(Site({"/model.bin": CONTENT})) as site:
        toy = one(site.address)
        fetch(toy, cache)
    assert read(cache.folder(toy))["model.bin"].sha256 == SHA256
    published = one(site.address, sha256="f" * 64)
    with pytest.raises(WeightsBroken, match="release says ffff"):
        cache.locate(published)


def test_files_put_there_by_hand_are_hashed_once(tmp_path: Path) -> None:
    cache, toy = Cache(tmp_path), one("https://nowhere.invalid", sha256=SHA256)
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "model.bin").write_bytes(CONTENT)
    assert cache.revision(toy) == SHA256[:8]
    assert read(cache.folder(toy))["model.bin"].origin == "found"
    (tmp_path / "toy" / "receipt.json").unlink()
    (tmp_path / "toy" / "model.bin").write_bytes(CONTENT[::-1])
    with pytest.raises(WeightsBroken, match="damaged"):
        cache.revision(toy)


@pytest.mark.parametrize("place", ["toy/model.bin", "model.bin", "Some-Release/model.bin"])
def test_a_mirror_folder_spares_the_download(tmp_path: Path, place: str) -> None:
    mirror = tmp_path / "mirror"
    (mirror / place).parent.mkdir(parents=True)
    (mirror / place).write_bytes(CONTENT)
    cache, toy = Cache(tmp_path / "cache"), one("http://127.0.0.1:1", sha256=SHA256)
    fetch(toy, cache, mirror)
    assert cache.locate(toy)["model"].read_bytes() == CONTENT


def test_a_file_of_the_same_name_in_a_mirror_is_not_taken_for_it(tmp_path: Path) -> None:
    for name, content in (("A", CONTENT[::-1]), ("B", CONTENT)):
        (tmp_path / "mirror" / name).mkdir(parents=True)
        (tmp_path / "mirror" / name / "model.bin").write_bytes(content)
    toy = one("http://127.0.0.1:1", sha256=SHA256)
    fetch(toy, Cache(tmp_path / "cache"), tmp_path / "mirror")
    assert (tmp_path / "cache" / "toy" / "model.bin").read_bytes() == CONTENT


def test_without_an_address_the_user_is_told_where_to_put_it(tmp_path: Path) -> None:
    toy = replace(entry(WeightFile("model", "model.bin")), by_hand="Ask the authors.")
    with pytest.raises(WeightsMissing, match=r"Put them into .*toy.*Ask the authors\."):
        fetch(toy, Cache(tmp_path))


def archive(**files: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    return packed.getvalue()


def test_files_of_an_archive_come_with_one_download(tmp_path: Path) -> None:
    packed = archive(a=CONTENT, b=b"second", c=b"not wanted")
    cache = Cache(tmp_path)
    with serving(Site({"/all.tar.gz": packed}, cut_after=[1000])) as site:
        url, whole = f"{site.address}/all.tar.gz", hashlib.sha256(packed).hexdigest()
        toy = entry(*(WeightFile(name, name, url, member=name, archive_sha256=whole) for name in "ab"))
        fetch(toy, cache)
        assert [request.get("range") for request in site.requests] == [None, "bytes=1000-"]
    assert {key: path.read_bytes() for key, path in cache.locate(toy).items()} == {"a": CONTENT, "b": b"second"}
    assert {path.name for path in (tmp_path / "toy").iterdir()} == {"a", "b", "receipt.json", ".lock"}


@pytest.mark.parametrize(("member", "complaint"), [("d", "holds no d"), ("link", "holds no link")])
def test_an_archive_without_the_file_is_refused(tmp_path: Path, member: str, complaint: str) -> None:
    with serving(Site({"/all.tar.gz": archive(a=b"1")})) as site, pytest.raises(WeightsBroken, match=complaint):
        fetch(entry(WeightFile("x", "x", f"{site.address}/all.tar.gz", member=member)), Cache(tmp_path))


def test_another_archive_is_refused(tmp_path: Path) -> None:
    with serving(Site({"/all.tar.gz": archive(a=b"1")})) as site:
        file = WeightFile("a", "a", f"{site.address}/all.tar.gz", member="a", archive_sha256="0" * 64)
        with pytest.raises(WeightsBroken, match="release says 00"):
            fetch(entry(file), Cache(tmp_path))


def _fetch_in_child(address: str, folder: str) -> int:
    return len(fetch(one(address), Cache(Path(folder))))


def test_several_processes_fetch_it_once(tmp_path: Path) -> None:
    with serving(Site({"/model.bin": CONTENT})) as site:
        with multiprocessing.get_context("fork").Pool(4) as pool:
            brought = pool.starmap(_fetch_in_child, [(site.address, str(tmp_path))] * 4)
        assert len(site.requests) == 1
    assert (tmp_path / "toy" / "model.bin").read_bytes() == CONTENT
    assert max(brought) == 1


def test_generated_weights_are_marked(tmp_path: Path) -> None:
    """They may stand in for a release of a published hash, and no record can hide it."""
    source, cache = tmp_path / "source", Cache(tmp_path / "cache")
    source.write_bytes(b"generated")
    toy = one("http://127.0.0.1:1", sha256=SHA256)
    adopt(toy, toy.files[0], source, RANDOM, cache)
    assert cache.locate(toy)["model"].read_bytes() == b"generated"
    assert cache.revision(toy).startswith("random-")


def test_absent_weights_have_a_revision_too(tmp_path: Path) -> None:
    """A plan can be made before they come; what was judged with other contents has another fingerprint."""
    assert Cache(tmp_path).revision(one("http://127.0.0.1:1")) == "absent"


def test_a_path_that_leaves_the_folder_is_no_entry() -> None:
    with pytest.raises(ValueError, match="below its folder"):
        WeightFile("model", "../model.bin")
