"""From what a person names to candidates: order, identity, odd names, clear refusals."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import fsspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from demix.config import ConfigError
from demix.records import Candidate
from demix.sources.discover import discover
from demix.sources.fetch import local_copy
from demix.sources.folder import no_file
from demix.sources.uri import local_path, local_uri


def uris(*inputs: str) -> list[str]:
    return [candidate.uri for candidate in discover(inputs)]


def touch(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return str(path)


def test_folders_are_searched_to_their_depths_in_a_fixed_order_without_hidden_names(tmp_path: Path) -> None:
    names = ["b/2.mp4", "a.txt", "b/1.mp4", "\u00e9 e.mkv", "-c.mov", "b/d/x"]
    wanted = sorted(touch(tmp_path / name) for name in names)
    for hidden in (".hidden.mp4", "b/.git/film.mp4"):
        touch(tmp_path / hidden)
    assert sorted(uris(str(tmp_path))) == wanted
    assert uris(str(tmp_path)) == uris(str(tmp_path))
    assert [Path(uri).name for uri in uris(str(tmp_path / "b"))] == ["1.mp4", "2.mp4", "x"]


def test_links_are_followed_and_loops_end(tmp_path: Path) -> None:
    film = touch(tmp_path / "films" / "a.mp4")
    (tmp_path / "films" / "loop").symlink_to(tmp_path / "films")
    (tmp_path / "films" / "up").symlink_to(tmp_path)
    (tmp_path / "films" / "broken").symlink_to(tmp_path / "gone")
    (tmp_path / "linked").symlink_to(tmp_path / "films")
    assert uris(str(tmp_path / "films")) == [film, str(tmp_path / "films" / "broken")]
    assert uris(str(tmp_path / "linked")) == [str(tmp_path / "linked" / name) for name in ("a.mp4", "broken")]


def test_broken_links_and_pipes_in_a_folder_are_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "link.mp4").symlink_to(tmp_path / "gone.mp4")
    film = touch(tmp_path / "film.mp4")
    assert uris(str(tmp_path)) == [film, str(tmp_path / "link.mp4"), str(tmp_path / "pipe.mp4")]
    assert [no_file(path) for path in sorted(tmp_path.iterdir())] == ["", "broken link", "pipe"]
    assert no_file(tmp_path / "nothing.mp4") == ""
    with pytest.raises(ConfigError, match="neither a file nor a folder"):
        uris(str(tmp_path / "pipe.mp4"))


def test_a_file_named_twice_is_one_candidate_and_its_id_is_its_uri(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = touch(tmp_path / "film.mp4")
    monkeypatch.chdir(tmp_path)
    found = list(discover([film, str(tmp_path), "film.mp4", f"file://{film}"]))
    assert [candidate.uri for candidate in found] == [film]
    again = next(iter(discover([film], "talking_head")))
    assert again.id == found[0].id
    assert (found[0].kind, again.kind) == ("cinematic", "talking_head")


def test_an_input_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    for missing in (str(tmp_path / "gone"), str(tmp_path / "gone.csv"), "memory://nothing/here"):
        with pytest.raises(ConfigError, match="check the spelling"):
            uris(missing)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.binary(min_size=1, max_size=40).filter(lambda name: not {0, 47} & set(name) and name not in (b".", b".."))
)
def test_any_name_that_a_file_system_allows_round_trips(name: bytes) -> None:
    path = Path("/films") / os.fsdecode(name)
    uri = local_uri(path)
    assert os.fsencode(local_path(uri)) == b"/films/" + name
    candidate = Candidate(id="0", uri=uri, kind="web")
    assert Candidate.model_validate_json(candidate.model_dump_json()) == candidate


def test_remote_folders_are_listed_as_uris() -> None:
    filesystem = fsspec.filesystem("memory")
    for name in ("/discover/b.mp4", "/discover/a/c d.mp4", "/discover/.hidden/x.mp4"):
        filesystem.pipe_file(name, b"x")
    assert uris("memory://discover") == ["memory:///discover/a/c d.mp4", "memory:///discover/b.mp4"]


def archive(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "films.zip", "w") as file:
        for name in ("a.mp4", "more/b.mp4", ".hidden.mp4"):
            file.writestr(name, name)
    return folder / "films.zip"


@pytest.mark.parametrize(
    ("named", "found"), [("a.mp4", ["a.mp4"]), ("", ["a.mp4", "more/b.mp4"]), ("more", ["more/b.mp4"])]
)
def test_films_in_an_archive_keep_their_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str, found: list[str]
) -> None:
    path = archive(tmp_path)
    monkeypatch.setenv("DEMIX_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    expected = [f"zip://{name}::{path}" for name in found]
    assert uris(f"zip://{named}::{path}") == expected
    assert uris(f"zip://{named}::films.zip") == expected, "on a cluster others read it, from other folders"
    for name, uri in zip(found, expected, strict=True):
        with local_copy(uri) as copy:
            assert copy.read_text() == name


def test_a_manifest_names_films_in_archives_beside_it(tmp_path: Path) -> None:
    archive(tmp_path)
    (tmp_path / "films.csv").write_text("uri\nzip://a.mp4::films.zip\nzip://b.mp4::memory://films.zip\n")
    assert uris(str(tmp_path / "films.csv")) == [
        f"zip://a.mp4::{tmp_path}/films.zip",
        "zip://b.mp4::memory://films.zip",
    ]


def test_file_uris_name_this_machine_or_are_refused(tmp_path: Path) -> None:
    film = touch(tmp_path / "a film.mp4")
    for start in ("file://", "file://localhost", "file://LocalHost"):
        assert uris(f"{start}{tmp_path}/a%20film.mp4") == [film]
    with pytest.raises(ConfigError, match="machine 'server'"):
        uris("file://server/share/film.mp4")
