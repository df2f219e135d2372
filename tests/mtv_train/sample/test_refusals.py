"""What cannot be, or would not be seen, is said before anything is sampled."""

from __future__ import annotations

from pathlib import Path

import pytest

from demix.config import ConfigError, validate
from mtv_train.sample.model_folder import check_writable
from mtv_train.sample.request import Request
from tests.mtv_train.sample.making import sample


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--keyframe", "0=a.png", "--keyframe", "00=b.png"), "0 is given twice"),
        (("--keyframe", "x=a.png"), "expected FRAME=PICTURE"),
        (("--keyframe=-4=a.png",), "keyframe -4: give a number from 0 on"),
        (("--scene", "0=A.", "--scene", "0.0=B."), "0.0 is given twice"),
        (("--scene", "nan=A."), "scene nan: give a number from 0 on"),
        (("--scene", "0=A.", "--scene", "100=B.", "--long", "--seconds", "1"), "the scene at 100 s never shows"),
    ],
)
def test_refused(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    assert sample(model, *arguments, "--steps", "1", "-o", tmp_path / "o.mp4") == 2
    assert said in capsys.readouterr().err


def test_keys_of_jobs_are_numbers_too() -> None:
    with pytest.raises(ConfigError, match="keyframe 00: 0 is given twice"):
        validate(Request, {"keyframes": {"0": "a.png", "00": "b.png"}})
    with pytest.raises(ConfigError, match=r"scene 0\.0: 0 is given twice"):
        validate(Request, {"scenes": {"0": "A.", "0.0": "B."}, "long": True})
    assert validate(Request, {"keyframes": {"08": "a.png"}}).keyframes == {8: "a.png"}


def test_what_cannot_be_written_is_found_before(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for out in (tmp_path / "file" / "o.mp4", tmp_path / f"{'a' * 300}.mp4"):
        with pytest.raises(ConfigError, match="cannot be written"):
            check_writable(out)
    (tmp_path / "o.mp4").mkdir()
    with pytest.raises(ConfigError, match="is a folder; name a file"):
        check_writable(tmp_path / "o.mp4")
    check_writable(tmp_path / "new" / "o.mp4")
    assert list((tmp_path / "new").iterdir()) == []
