"""What the driver of a build holds of its clips: about nothing, however many there are."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from unittest import mock

from benchmarks.made_up import Measurer
from benchmarks.retag import instead_of_models
from demix.build import Build
from demix.clip_table import remove_clips
from demix.engine.sequential import SequentialRunner
from demix.recipe import BuildSettings
from demix.stage import Kept
from demix.summary import summarise

FEW, MANY = 1000, 8000
MOST = 400
"""Bytes that one more clip may cost, a fifth of what its row takes as Python objects."""


def peak(clips: int, folder: Path) -> int:
    """Bytes of Python objects at most, while the clip table is written of what is indexed and its ends are counted."""
    with mock.patch("benchmarks.made_up.FILM_CLIPS", 50):
        measurer = Measurer(clips)
        measurer.write_films(folder / "films")
    build = Build(BuildSettings(), folder / "dataset", runner=SequentialRunner)
    build.name_sources([str(folder / "films")], None)
    with instead_of_models(lambda stage, items: [Kept(measurer.record(stage, item)) for item in items]):
        build.index()
    remove_clips(build.store)
    tracemalloc.start()
    try:
        build.index()
        assert summarise(build, annotated=False).clips == clips
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_index_holds_no_list_of_clips(tmp_path: Path) -> None:
    few, many = peak(FEW, tmp_path / "few"), peak(MANY, tmp_path / "many")
    assert (many - few) / (MANY - FEW) < MOST
    table = Build(BuildSettings(), tmp_path / "many" / "dataset", runner=SequentialRunner).clip_rows()
    ids = [row.id for row in table]
    assert len(ids) == MANY
    assert ids == sorted(set(ids))
