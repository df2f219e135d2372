"""Killing the pack phase between any two of its steps costs nothing but the work of one shard."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_killed_before_every_step_then_resumed_gives_the_same_bytes(tmp_path: Path, video_folder: Path) -> None:
    """Every call that changes the disk is a crash point while an older build is replaced; at none does a commit file
    vouch for other bytes than those beside it."""
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "tests.dataset._crash", str(tmp_path), str(video_folder)]
    child = subprocess.run(
        command, cwd=root, env=os.environ | {"PYTHONPATH": str(root)}, capture_output=True, text=True
    )
    assert child.returncode == 0, child.stderr
    points = [line.split() for line in child.stdout.splitlines()]
    assert len(points) > 30
    assert [status for _, status, _, _ in points] == ["9"] * (len(points) - 1) + ["0"]
    untrue = [point for point, _, commits_true, _ in points if commits_true != "True"]
    different = [point for point, _, _, same in points if same != "True"]
    assert (untrue, different) == ([], [])
