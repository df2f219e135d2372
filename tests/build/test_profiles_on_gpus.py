"""The whole recipes `open` and `paper` on logical GPUs: they end, with the bytes of one process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
import ray

from demix.engine import ray_start
from tests.build import generated
from tests.build.patches import HOOK, Recorder
from tests.build.running import SEQUENTIAL, demix, tree
from tests.build.test_profiles import INDULGENT, SHORT
from tests.models.diarization.test_scribe import ANSWER
from tests.models.fake_service import Reply, serving
from tests.tiny import make_tiny

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def build(films: Path, profile: str, dataset: Path, settings: list[str], *runner: str) -> str:
    """What it said on standard error."""
    options = [option for setting in (*INDULGENT, *settings) for option in ("--set", setting)]
    ran = demix("build", films, "--output", dataset, "--profile", profile, *runner, *options)
    assert ran.status == 0, ran.out + ran.err
    return ran.err


@contextmanager
def cluster(gpus: int) -> Iterator[None]:
    """Nearly no processors are there in truth: a logical one is no more than a place."""
    ray_start.start("local", num_cpus=4, num_gpus=gpus, runtime_env=HOOK)
    try:
        yield
    finally:
        ray.shutdown()


@pytest.mark.parametrize("gpus", [1, 2, 8])
@pytest.mark.parametrize("profile", ["open", "paper"])
def test_a_whole_profile(
    tmp_path: Path, shared_vectors: Path, monkeypatch: pytest.MonkeyPatch, profile: str, gpus: int
) -> None:
    monkeypatch.setenv("DEMIX_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("ELEVENLABS_API_KEY", "none")
    patch = Recorder(monkeypatch)
    settings = prepared(profile, tmp_path / "made", shared_vectors, cast(Any, patch))
    patch.save(tmp_path / "patches")
    films = make_tiny(tmp_path / "films")
    with serving([Reply(body=ANSWER)]) as (address, _):
        if profile == "paper":
            settings.append(f"diarization.scribe={{max_hours: 1, address: '{address}'}}")
        build(films, profile, tmp_path / "one", settings, *SEQUENTIAL)
        with cluster(gpus):
            said = build(films, profile, tmp_path / "many", settings)
    assert f"placement on {gpus} GPU" in said
    assert tree(tmp_path / "many") == tree(tmp_path / "one")


def prepared(profile: str, folder: Path, vectors: Path, patch: pytest.MonkeyPatch) -> list[str]:
    """Random weights for all models of a profile; the settings that suit them."""
    generated.common(folder, vectors, patch)
    if profile == "paper":
        tiny = [f"caption.llava_video.{setting}" for setting in (*SHORT, "frames=4")]
        return [*generated.paper(folder, patch), *tiny]
    return [*generated.free(folder, patch), *(f"caption.qwen3_vl.{setting}" for setting in SHORT)]
