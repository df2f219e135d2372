"""Runs code that opens strangers' media in a child process with limits, so that nothing it does costs more than itself.

Two kinds of children: a function in a fresh Python (`stream`, `call`), and a command such
as ffmpeg (`run`). Both get a bare environment (no credentials, no FFREPORT), address space, CPU time and file sizes
bounded by rlimits, their stderr kept as a tail, their time watched from here, and are killed when their reader goes.
A Python child may write no file at all; it answers in binary records through a pipe.
"""

from __future__ import annotations

import builtins
import errno
import gc
import importlib
import json
import math
import os
import selectors
import signal
import struct
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from typing import Any, BinaryIO

from demix import processes
from demix.errors import DEFECTS, ChildDefect, MachineSuspected, MachineTrouble, is_defect, place_of
from demix.machine import GO_ON, trouble_in
from demix.media.errors import MediaError
from demix.media.limits import MediaLimits

try:
    import resource
except ImportError:  # not POSIX: time is still watched
    resource = None  # type: ignore[assignment]

Arguments = Mapping[str, Any]
_HEADER = struct.Struct("<cQ")
"""Tag and length: b"D" a record, b"R" the end, b"E" the fields of a `MediaError`, b"X" of a `ChildDefect`, b"M" of a
`MachineSuspected`, as JSON."""
_TAIL = 8192
_CHUNK = 1 << 16
"""What a pipe holds; room for more would be fetched from the system anew at each read."""
_HEAD = 1 << 16


def call(function: str, arguments: Arguments, limits: MediaLimits, *, seconds: float) -> Any:
    """The JSON-able value that `function` ("package.module:name") returns for keyword `arguments` in a child.

    Raises `MediaError`: as raised in the child, or `timeout` after `seconds`, `limits` (memory), `crash`; and
    `ChildDefect` where it is the program that does not work.
    """
    with closing(stream(function, arguments, limits, seconds=seconds, stall_seconds=seconds)) as records:
        return json.loads(b"".join(records))


def stream(
    function: str, arguments: Arguments, limits: MediaLimits, *, seconds: float, stall_seconds: float | None = None
) -> Generator[bytearray, None, None]:
    """Yields what the generator function `function` yields in a child, record by record, as it comes.

    The function yields a bytes-like object, or a tuple of them that makes one record; a plain return value becomes one
    JSON record. Only the time spent waiting for the child counts: `seconds` in all, `stall_seconds` for one record
    (default: `limits.stall_seconds`). Closing the iterator ends the child. Raises as `call` does.
    """
    command = [sys.executable, "-P", "-B", "-m", "demix.media.sandbox"]
    request = json.dumps({"function": function, "arguments": dict(arguments)}).encode()
    child = _Child(command, limits, seconds, output_bytes=0, stdin=request)
    try:
        yield from _records(child, stall_seconds or limits.stall_seconds)
    finally:
        child.kill()


def run(command: Sequence[str], limits: MediaLimits, *, seconds: float, fds: Sequence[int] = ()) -> bytes:
    """Runs a command to its end and returns the first 64 KiB of its stdout; the descriptors `fds` stay open in it.

    Raises `MediaError`: `timeout`, `limits` (memory, output size), `crash` (a signal), `decode` (exit status).
    """
    child = _Child(command, limits, seconds, output_bytes=limits.output_bytes, fds=fds)
    try:
        head = b""
        for chunk in child.chunks(seconds):
            head += chunk[: _HEAD - len(head)]
        child.finish()
        return head
    finally:
        child.kill()


def _records(child: _Child, stall_seconds: float) -> Iterator[bytearray]:
    buffer = bytearray()
    chunks = child.chunks(stall_seconds)
    while True:
        while len(buffer) < _HEADER.size or len(buffer) < _HEADER.size + _HEADER.unpack_from(buffer)[1]:
            chunk = next(chunks, None)
            if chunk is None:
                child.finish(python=True)
                raise MediaError("crash", "the child process ended without an answer", child.tail)
            buffer += chunk
        tag, length = _HEADER.unpack_from(buffer)
        del buffer[: _HEADER.size]
        record, buffer = buffer, buffer[length:]
        del record[length:]
        if tag == b"E":
            error = json.loads(record)
            raise MediaError(error["kind"], error["message"], error["detail"] or child.tail, error["evidence"])
        if tag == b"X":
            raise ChildDefect(**json.loads(record))
        if tag == b"M":
            raise MachineSuspected(**json.loads(record))
        if tag == b"R":
            return
        yield record


_OF_THE_MACHINE = tuple(
    os.strerror(number)
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ESTALE, errno.ENOTCONN, errno.EMFILE, errno.ENFILE)
)
"""What programs that only write a clip, or read a film, say of a machine in trouble."""
_MEND = "install it again, or name another one (clip_media.ffmpeg)"


def _started(command: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
    """The running command. Raises `MachineTrouble` where the system does not start it: no item can be blamed."""
    try:
        return processes.popen(command, **options)
    except OSError as error:
        trouble = trouble_in(error)
        if trouble is None:
            why = error.strerror or str(error)
            trouble = MachineTrouble(f"{command[0]}: cannot be started ({why}); {_MEND}, {GO_ON}")
        raise trouble from error


class _Child:
    """A child process whose stdout is read, whose stderr is kept as a tail, and whose time is counted while we wait."""

    def __init__(
        self,
        command: Sequence[str],
        limits: MediaLimits,
        seconds: float,
        *,
        output_bytes: int,
        stdin: bytes = b"",
        fds: Sequence[int] = (),
    ):
        self._seconds = self._left = seconds
        self._stderr = b""
        self._program = command[0]
        self._process = _started(
            command,
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=_environment(),
            cwd="/",
            pass_fds=tuple(fds),
            bufsize=0,
        )
        _limit(self._process.pid, limits, math.ceil(seconds), output_bytes)
        if self._process.stdin:
            with suppress(BrokenPipeError):  # it has ended already; `finish` says how
                self._process.stdin.write(stdin)
            self._process.stdin.close()

    def chunks(self, stall_seconds: float) -> Iterator[bytes]:
        """Pieces of stdout until both pipes are closed. Raises `MediaError("timeout")`."""
        stdout, stderr = self._process.stdout, self._process.stderr
        assert stdout is not None
        assert stderr is not None
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            selector.register(stderr, selectors.EVENT_READ)
            silent = 0.0
            while selector.get_map():
                began = time.monotonic()
                events = selector.select(min(self._left, stall_seconds - silent))
                waited = time.monotonic() - began
                self._left -= waited
                silent = 0.0 if any(key.fileobj is stdout for key, _ in events) else silent + waited
                if self._left <= 0 or silent >= stall_seconds:
                    what = (
                        f"took more than {self._seconds:g} s" if self._left <= 0 else f"silent for {stall_seconds:g} s"
                    )
                    raise MediaError("timeout", f"the child process was ended: {what}", self.tail)
                for key, _ in events:
                    chunk = os.read(key.fd, _CHUNK)
                    if not chunk:
                        selector.unregister(key.fileobj)
                    elif key.fileobj is stdout:
                        yield chunk
                    else:
                        self._stderr = (self._stderr + chunk)[-_TAIL:]

    def finish(self, *, python: bool = False) -> None:
        """Waits for the end and raises `MediaError` unless it was a good one.

        A child that runs our own code (`python`) answers whatever happens: an exit status means that it did not start.
        """
        try:
            status = self._process.wait(timeout=max(self._left, 1.0))
        except subprocess.TimeoutExpired as error:
            raise MediaError("timeout", f"took more than {self._seconds:g} s", self.tail) from error
        if status == 0:
            return
        # ffmpeg catches SIGXCPU and exits with 255; everything else dies of it.
        if status == -signal.SIGXCPU or "received signal 24" in self.tail:
            raise MediaError("timeout", f"used more than {self._seconds:g} s of CPU time", self.tail)
        if status == -signal.SIGXFSZ or "File too large" in self.tail:
            raise MediaError("limits", "wrote more than limits.output_bytes", self.tail)
        if "Cannot allocate memory" in self.tail or "MemoryError" in self.tail:
            raise MediaError("limits", "needed more than limits.memory_bytes", self.tail)
        self._suspect_machine(status)
        if status < 0:
            raise MediaError("crash", f"killed by signal {-status}", self.tail)
        if python:
            raise _failed_start(self.tail, status)
        raise MediaError("decode", f"exit status {status}", self.tail)

    def _suspect_machine(self, status: int) -> None:
        """Raises where the end of a child speaks of the machine rather than of what it was given."""
        if status in (-signal.SIGKILL, -signal.SIGTERM, -signal.SIGBUS):
            name = signal.Signals(-status).name
            raise MachineSuspected(
                f"{self._program} was ended by {name}: by somebody, or by the system for want of memory", self.tail
            )
        if status in (126, 127):  # what a shell or the dynamic linker says where a program does not start
            why = " ".join(self.tail.split())[-300:]
            raise MachineTrouble(f"{self._program}: cannot be started ({why}); {_MEND}, {GO_ON}")
        said = next((text for text in _OF_THE_MACHINE if text in self.tail), None)
        if said is not None:
            raise MachineSuspected(f"{self._program}: {said}", self.tail)

    @property
    def tail(self) -> str:
        """The last of stderr; control characters, which could steer a terminal, are replaced."""
        return printable(self._stderr.decode("utf-8", "replace"))

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe:
                pipe.close()


def _failed_start(tail: str, status: int) -> ChildDefect | MediaError:
    """Why a Python child ended before it could answer, from the last line of its traceback."""
    lines = tail.strip().splitlines() or [f"exit status {status}"]
    name, _, message = lines[-1].partition(": ")
    kind = getattr(builtins, name, None)
    if isinstance(kind, type) and issubclass(kind, DEFECTS):
        return ChildDefect(name, message, "the start of a child process", tail)
    return MediaError("crash", f"the child process could not start: {lines[-1]}", tail)


def printable(text: str) -> str:
    """`text` without control characters other than line ends."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text.replace("\r", "\n"))


def _environment() -> dict[str, str]:
    """Enough to find our own code, and nothing else: credentials and ffmpeg's own variables stay out."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "SYSTEMROOT") if name in os.environ}
    folders = os.pathsep.join(os.path.abspath(folder or ".") for folder in sys.path)
    return kept | {
        "PYTHONPATH": folders,
        "PYTHONUTF8": "1",
        "LC_ALL": "C.UTF-8",
        "AV_LOG_FORCE_NOCOLOR": "1",
        # Each malloc arena reserves address space, which is what RLIMIT_AS counts.
        "MALLOC_ARENA_MAX": "2",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }


def _limit(pid: int, limits: MediaLimits, cpu_seconds: int, output_bytes: int) -> None:
    """Bounds a running child from outside: no code runs between fork and exec, which threads would make unsafe."""
    if not hasattr(resource, "prlimit"):  # Linux only
        return
    bounds = {
        resource.RLIMIT_AS: (limits.memory_bytes, limits.memory_bytes),
        # Several threads: the clock on the wall is watched by the parent; this is for when the parent is gone.
        resource.RLIMIT_CPU: (cpu_seconds * 4 + 5, cpu_seconds * 4 + 10),
        resource.RLIMIT_FSIZE: (output_bytes, output_bytes),
        resource.RLIMIT_CORE: (0, 0),
    }
    for which, bound in bounds.items():
        try:
            resource.prlimit(pid, which, bound)
        except ProcessLookupError:
            return  # it has ended already


# --- the child's side ------------------------------------------------------------------------------------------------


def _resolve(function: str) -> Callable[..., Any]:
    module, _, name = function.partition(":")
    resolved: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return resolved


def _send(out: BinaryIO, tag: bytes, *parts: Any) -> None:
    views = [memoryview(part).cast("B") for part in parts]
    out.write(_HEADER.pack(tag, sum(view.nbytes for view in views)))
    for view in views:
        out.write(view)
    out.flush()


def _describe(error: Exception) -> tuple[bytes, dict[str, Any]]:
    """An exception of the child as a tag and the fields of the exception that the parent raises."""
    detail = printable("".join(traceback.format_exception(error))[-_TAIL:])
    if is_defect(error):
        message = printable(str(error))
        return b"X", {"type_name": type(error).__name__, "message": message, "where": place_of(error), "detail": detail}
    no_memory = isinstance(error, MemoryError) or getattr(error, "errno", 0) == errno.ENOMEM  # by our own limit
    trouble = None if no_memory else trouble_in(error)
    if trouble is not None:
        return b"M", {"message": printable(str(trouble)), "detail": detail}
    return b"E", _media_error(error, detail, no_memory)


def _media_error(error: Exception, detail: str, no_memory: bool) -> dict[str, Any]:
    if isinstance(error, MediaError):
        return {"kind": error.kind, "message": error.message, "detail": error.detail, "evidence": error.evidence}
    if no_memory:
        return {"kind": "limits", "message": "needed more than limits.memory_bytes", "detail": detail, "evidence": {}}
    kind = "decode" if type(error).__module__.startswith("av.") else "crash"
    return {"kind": kind, "message": printable(f"{type(error).__name__}: {error}"), "detail": detail, "evidence": {}}


def _main() -> int:
    request = json.loads(sys.stdin.buffer.read())
    # Whatever a library prints goes to stderr; the records have the pipe for themselves.
    with os.fdopen(os.dup(1), "wb", buffering=_CHUNK) as out:
        os.dup2(2, 1)
        try:
            function = _resolve(request["function"])
            gc.freeze()  # what is imported by now stays; a child that makes many objects would look through it for ever
            result = function(**request["arguments"])
            if isinstance(result, Iterator):
                for record in result:
                    _send(out, b"D", *(record if isinstance(record, tuple) else (record,)))
            else:
                _send(out, b"D", json.dumps(result).encode())
            _send(out, b"R")
        except BrokenPipeError:
            os._exit(1)  # the reader is gone
        except Exception as error:
            tag, fields = _describe(error)
            _send(out, tag, json.dumps(fields).encode())
    return 0


if __name__ == "__main__":
    sys.exit(_main())
