"""A key of the work store is whole or absent, whatever dies when, and never leaves the store."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import fsspec
import pytest

from demix.store import Store


def test_a_write_that_raises_leaves_nothing(tmp_path):
    store = Store(str(tmp_path))

    def stop_half_way() -> None:
        with store.write("a/b.txt") as path:
            path.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        stop_half_way()
    assert not store.exists("a/b.txt")
    assert store.keys() == []
    assert list((tmp_path / "a").iterdir()) == []


def test_a_write_that_is_killed_leaves_no_key(tmp_path):
    code = """
        import os, signal, sys
        from demix.store import Store
        with Store(sys.argv[1]).write("a/b.txt") as path:
            path.write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code), str(tmp_path)], check=False)
    assert list((tmp_path / "a").iterdir()), "the killed write should have left its unfinished file"
    assert Store(str(tmp_path)).keys() == []
    assert not Store(str(tmp_path)).exists("a/b.txt")


@pytest.mark.parametrize("key", ["../x", "a/../../x", "/etc/passwd"])
def test_keys_stay_below_the_store(tmp_path, key):
    with pytest.raises(ValueError, match="below the store"):
        Store(str(tmp_path)).exists(key)


def test_a_missing_key_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="not in the work store"):
        Store(str(tmp_path)).local("absent")


def test_a_remote_store_keeps_and_gives_back(tmp_path):
    root = f"memory://{tmp_path.name}"
    store = Store(root)
    with store.write("a/b.txt") as path:
        path.write_text("one")
    assert store.exists("a/b.txt")
    assert store.keys("a") == store.keys() == ["a/b.txt"]
    assert store.local("a/b.txt").read_text() == "one"
    store.remove("a")
    assert not store.exists("a/b.txt")
    assert fsspec.filesystem("memory").find(f"/{tmp_path.name}") == []


def test_a_remote_key_that_is_written_again_is_read_anew(tmp_path):
    store = Store(f"memory://{tmp_path.name}")
    for text in ("one", "two"):
        with store.write("ledger/a.txt") as path:
            path.write_text(text)
        assert Store(store.root).local("ledger/a.txt").read_text() == text
    fsspec.filesystem("memory").pipe_file(f"/{tmp_path.name}/ledger/a.txt", b"three")  # as another machine would
    assert store.local("ledger/a.txt").read_text() == "three"
    store.remove("ledger")
    with pytest.raises(FileNotFoundError):
        store.local("ledger/a.txt")


def test_removing_what_is_absent_is_no_error(tmp_path):
    Store(str(tmp_path)).remove("nothing/here")
