"""The sandbox: whatever a child does costs one `MediaError` of the right kind, and nothing else."""

from __future__ import annotations

import os
import pickle
import re
import sys
import time
from pathlib import Path

import av
import psutil
import pytest

from demix.errors import DEFECTS, ChildDefect, is_defect, place_of
from demix.media import sandbox
from demix.media.errors import MediaError
from demix.media.limits import MediaLimits

LIMITS = MediaLimits()


def call(name: str, seconds: float = 30.0, limits: MediaLimits = LIMITS, **arguments: object) -> object:
    return sandbox.call(f"tests.media.children:{name}", arguments, limits, seconds=seconds)


@pytest.fixture
def others() -> set[psutil.Process]:
    """Children of this process that a test before left behind (a fork server, for one)."""
    return set(psutil.Process().children())


def test_arguments_of_any_text_arrive_as_they_are() -> None:
    odd = {"path": "-x 'a\" $(b)\n\u00f1\udcff%d.mp4", "numbers": [1, 2.5, None]}
    assert call("echo", **odd) == odd


def test_the_child_sees_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("FFREPORT", "file=/tmp/report.log")
    seen = call("environment")
    assert isinstance(seen, dict)
    assert not {"AWS_SECRET_ACCESS_KEY", "FFREPORT"} & set(seen)


def test_records_arrive_whole_and_in_order_for_a_slow_reader() -> None:
    numbers = []
    for record in sandbox.stream("tests.media.children:count", {"records": 40, "size": 200_000}, LIMITS, seconds=30):
        numbers.append(int.from_bytes(record[:4], "little"))
        assert len(record) == 200_004
        assert set(record[4:]) == {numbers[-1] % 251}
        time.sleep(0.002)
    assert numbers == list(range(40))


def test_closing_the_stream_ends_the_child(others: set[psutil.Process]) -> None:
    stream = sandbox.stream("tests.media.children:count_then", {"records": 1, "end": "hang"}, LIMITS, seconds=30)
    assert next(stream) == b"\0"
    children = set(psutil.Process().children()) - others
    assert children
    stream.close()
    assert not [child for child in children if child.is_running()]


@pytest.mark.parametrize(
    ("name", "kind"), [("crash", "crash"), ("leave", "crash"), ("refuse", "crash"), ("eat_memory", "limits")]
)
def test_a_child_that_dies_is_an_error_of_its_kind(name: str, kind: str) -> None:
    with pytest.raises(MediaError) as caught:
        call(name)
    assert caught.value.kind == kind


@pytest.mark.parametrize("error", DEFECTS)
def test_a_fault_of_the_program_is_no_broken_film(error: type[Exception]) -> None:
    with pytest.raises(ChildDefect) as caught:
        call("fail", error=error.__name__)
    assert caught.value.type_name == error.__name__
    assert caught.value.where.startswith("tests/media/children.py:")
    assert "a bug" in caught.value.message
    assert "in fail" in caught.value.detail
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.where, again.detail) == (str(caught.value), caught.value.where, caught.value.detail)
    assert is_defect(again)
    assert place_of(again) == place_of(caught.value) != ""


def test_a_library_with_another_interface_is_a_defect_in_our_own_line() -> None:
    with pytest.raises(ChildDefect, match="unexpected keyword argument") as caught:
        call("echo_nothing", unknown=1)
    assert caught.value.type_name == "TypeError"
    assert re.fullmatch(r"demix/media/sandbox\.py:\d+ \(_main\)", caught.value.where)
    assert not isinstance(caught.value, MediaError)


def test_what_a_damaged_film_makes_the_decoder_raise_is_no_defect() -> None:
    assert not is_defect(av.error.InvalidDataError(1, "damaged"))
    assert not is_defect(av.error.DecoderNotFoundError(1, "a codec that this build does not have"))
    with pytest.raises(MediaError, match="decode"):
        call("damaged")


def test_a_child_that_cannot_be_started_is_a_defect(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "struct.py").write_text("raise ImportError('cannot import name Struct')\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with pytest.raises(ChildDefect, match="cannot import name Struct") as caught:
        call("echo")
    assert (caught.value.type_name, caught.value.where) == ("ImportError", "the start of a child process")


@pytest.mark.parametrize("name", ["hang", "spin"])
def test_a_child_that_does_not_answer_is_ended(name: str, others: set[psutil.Process]) -> None:
    with pytest.raises(MediaError) as caught:
        call(name, seconds=1.0)
    assert caught.value.kind == "timeout"
    children = set(psutil.Process().children()) - others
    assert not [child for child in children if child.status() != psutil.STATUS_ZOMBIE]


def test_a_stream_that_falls_silent_is_ended_although_its_time_is_not_up() -> None:
    arguments = {"records": 3, "end": "hang"}
    stream = sandbox.stream("tests.media.children:count_then", arguments, LIMITS, seconds=600, stall_seconds=5.0)
    received: list[bytearray] = []
    with pytest.raises(MediaError) as caught:
        received.extend(stream)
    assert caught.value.kind == "timeout"
    assert len(received) == 3


def test_records_before_a_crash_are_delivered() -> None:
    arguments = {"records": 3, "end": "crash"}
    stream = sandbox.stream("tests.media.children:count_then", arguments, LIMITS, seconds=30)
    received: list[bytearray] = []
    with pytest.raises(MediaError, match="signal 11"):
        received.extend(stream)
    assert received == [b"\0", b"\1", b"\2"]


def test_a_python_child_can_write_no_file(tmp_path: Path) -> None:
    with pytest.raises(MediaError):
        call("write_file", path=str(tmp_path / "written"))
    assert not (tmp_path / "written").exists() or (tmp_path / "written").stat().st_size == 0


def test_what_a_child_says_is_kept_as_a_short_printable_tail() -> None:
    with pytest.raises(MediaError) as caught:
        call("shout")
    assert caught.value.evidence == {"lines": 2000}
    assert 0 < len(caught.value.detail) <= 8192
    assert "\033" not in caught.value.detail


def test_a_command_is_bounded_in_time_memory_and_output(tmp_path: Path) -> None:
    def run(code: str, **limits: int) -> MediaError:
        with pytest.raises(MediaError) as caught:
            sandbox.run([sys.executable, "-c", code], MediaLimits(**limits), seconds=5)
        return caught.value

    big = tmp_path / "big"
    grow = f"import os; f = os.open({str(big)!r}, os.O_CREAT | os.O_WRONLY)\nwhile True: os.write(f, bytes(1 << 20))"
    assert run(grow, output_bytes=8 << 20).kind == "limits"
    assert big.stat().st_size <= 8 << 20
    assert run("bytearray(1 << 30)", memory_bytes=512 << 20).kind == "limits"
    assert run("import time; time.sleep(60)").kind == "timeout"
    assert run("import os; os.abort()").kind == "crash"
    assert run("raise SystemExit(3)").message == "exit status 3"


def test_a_command_returns_only_the_head_of_its_stdout() -> None:
    code = "import sys; sys.stdout.write('head' + 'x' * 10_000_000)"
    head = sandbox.run([sys.executable, "-c", code], LIMITS, seconds=30)
    assert head.startswith(b"head")
    assert len(head) == 1 << 16


def test_a_descriptor_that_was_handed_over_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "-odd name").write_bytes(b"content")
    descriptor = os.open(tmp_path / "-odd name", os.O_RDONLY)
    try:
        command = [sys.executable, "-c", f"import os; os.write(1, os.read({descriptor}, 100))"]
        assert sandbox.run(command, LIMITS, seconds=30, fds=[descriptor]) == b"content"
    finally:
        os.close(descriptor)
