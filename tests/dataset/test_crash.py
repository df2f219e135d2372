"""Killing the pack phase between any two of its steps costs nothing but the work of one shard."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_killed_before_and_after_every_step_then_resumed_gives_the_same_bytes(
    tmp_path: Path, video_folder: Path
) -> None:
    """Every call that changes the disk is a crash point, not done and just done, while an older build is replaced."""
    command = [sys.executable, "-m", "tests.dataset._crash", str(tmp_path), str(video_folder)]
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": str(root)}
    child = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    assert child.returncode == 0, child.stderr
    lines = [line.split() for line in child.stdout.splitlines()]
    killed = [line for line in lines if line[2] == "9"]
    assert len(killed) > 50
    assert [line for line in lines if line[3] != "same"] == []
