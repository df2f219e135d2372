"""Guards: a place with too little room is trouble of the machine, also where something small would still fit."""

from __future__ import annotations

from collections import namedtuple
from pathlib import Path

import pytest

from demix import machine
from demix.errors import MachineSuspected, MachineTrouble
from demix.media import cut, sandbox
from demix.media.limits import MediaLimits

_Usage = namedtuple("_Usage", "total used free")


@pytest.mark.parametrize(("free", "error"), [(5 << 20, MachineTrouble), (5 << 30, MachineSuspected)])
def test_a_program_that_cannot_write_is_trouble_where_there_is_little_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, error: type[Exception]
) -> None:
    """5 MB would hold a small clip: that others pass says nothing. With 5 GB free, the clip may be what is wrong."""

    def fails(*_: object, **__: object) -> bytes:
        raise MachineSuspected("ffmpeg: No space left on device")

    monkeypatch.setattr(sandbox, "run", fails)
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda _: _Usage(0, 0, free))
    job = cut._Job(tmp_path, None, None, None, "ffmpeg", MediaLimits(), (tmp_path,))  # type: ignore[arg-type]
    with pytest.raises(error, match=str(tmp_path) if error is MachineTrouble else "No space left"):
        job._run(["ffmpeg"])
