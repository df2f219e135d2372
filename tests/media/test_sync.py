"""Pictures and sound in step, as benchmarks/sync.py measures it over containers, codecs, rates and offsets."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.sync import NOT_STATED, Case, cases, in_step, measure

QUICK = (
    Case("mp4, H.264, AAC", fps="30000/1001", sound="delayed"),
    Case("mov, H.264, PCM", sample_rate=96000),
    Case("mkv, H.264, FLAC", sound="gap"),
)
TESTED = [*QUICK, *(case for case in cases() if case not in QUICK and case.kind not in NOT_STATED)]


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=[] if case in QUICK else pytest.mark.slow) for case in TESTED],
    ids=lambda case: f"{case.kind} {case.fps} {case.sample_rate} {case.sound}",
)
def test_flash_and_click_come_together(tmp_path: Path, case: Case) -> None:
    offset = measure(case, tmp_path)
    assert in_step(case, offset), offset
