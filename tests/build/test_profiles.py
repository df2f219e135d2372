"""The profiles `paper` and `open` build a dataset from a film to the report, every net of them on random weights in the
layout of its release; and whoever judged is named with a licence, random weights as such."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from demix.dataset.verify import verify
from demix.models import MODELS, model_class
from demix.models.missing import MissingPackage
from tests.build import generated
from tests.build.running import SEQUENTIAL, demix, rows
from tests.models.diarization.test_scribe import ANSWER
from tests.models.fake_service import Reply, serving
from tests.tiny import make_tiny

INDULGENT = (
    "quality_filter.minimum={PQ: -1.0e+9, CU: -1.0e+9}",
    "demix_filter.silence_db=-120",
    "demix_filter.max_distance={speech: 1.0e+9, others: 1.0e+9}",
    "diarization.silence_db=-120",
    "voice_over.min_speech_seconds=60",
    "persons.faces_per_second=2",
    "persons.persons_per_second=1",
    "persons.short_side=96",
)
"""Random nets agree on nothing: no clip may be dropped for it. And they are asked about few, small pictures."""
SHORT = ("person_tokens=6", "scene_tokens=12", "dtype=float32")


def build(films: Path, profile: str, work: Path, *settings: str) -> Path:
    options = [option for setting in (*INDULGENT, *settings) for option in ("--set", setting)]
    ran = demix("build", films, "--output", work / "dataset", "--profile", profile, *SEQUENTIAL, *options)
    assert ran.status == 0, ran.out + ran.err
    return work / "dataset"


def check(dataset: Path, given: set[str]) -> None:
    """A whole dataset, whose records say of all weights but the `given` ones that they are random numbers."""
    assert verify(dataset, workers=1) == []
    clips = rows(dataset, "clips")
    assert len(clips) == 2
    records = {name: json.loads(clips[0][name]) for name in ("audio_quality", "demixing", "persons", "caption")}
    judged = [records["audio_quality"], records["caption"], records["demixing"]["three"], records["demixing"]["two"]]
    judged += [records["persons"]["persons"], records["persons"]["faces"]]
    judged += [json.loads(clips[0][name]) for name in ("diarization", "active_speaker")]
    assert {each["model"] for each in judged if "random-" not in each["revision"]} == given
    report = json.loads((dataset / "report/report.json").read_text())
    page = (dataset / "report/index.html").read_text()
    assert len(report["judges"]) == 9
    for judge in report["judges"]:
        assert judge["licence"] == model_class(role_of(judge["role"]), judge["model"]).licence
        assert judge["revision"] in page
    assert page.count("random weights, for tests only") == sum(
        "random-" in judge["revision"] for judge in report["judges"]
    )
    assert records["caption"]["scene"]


def role_of(shown: str) -> str:
    """A role of the report as `MODELS` names it."""
    return {"caption": "captioning"}.get(shown, shown)


@pytest.mark.slow
def test_the_paper_s_profile(tmp_path: Path, shared_vectors: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """YOLO takes part where its package is installed, else RT-DETRv2; Scribe is a service on this machine."""
    monkeypatch.setenv("DEMIX_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("ELEVENLABS_API_KEY", "none")
    generated.common(tmp_path / "made", shared_vectors, monkeypatch)
    settings = generated.paper(tmp_path / "made", monkeypatch)
    settings += [f"caption.llava_video.{setting}" for setting in (*SHORT, "frames=4")]
    films = make_tiny(tmp_path / "films")
    with serving([Reply(body=ANSWER)]) as (address, service):
        scribe = f"diarization.scribe={{max_hours: 1, address: '{address}'}}"
        dataset = build(films, "paper", tmp_path, scribe, *settings)
    assert len(service.requests) == 2
    check(dataset, given={"scribe"})


@pytest.mark.slow
def test_the_open_profile(tmp_path: Path, shared_vectors: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """TransNetV2 comes with its weights; pyannote's package is replaced where it is not installed."""
    monkeypatch.setenv("DEMIX_WEIGHTS", str(tmp_path / "weights"))
    generated.common(tmp_path / "made", shared_vectors, monkeypatch)
    settings = generated.free(tmp_path / "made", monkeypatch)
    settings += [f"caption.qwen3_vl.{setting}" for setting in SHORT]
    check(build(make_tiny(tmp_path / "films"), "open", tmp_path, *settings), given=set())


@pytest.mark.parametrize(("role", "name"), [(role, name) for role, models in MODELS.items() for name in models])
def test_every_model_states_a_licence(role: str, name: str) -> None:
    """It is what the report shows of whoever judged."""
    try:
        licence = model_class(role, name).licence
    except MissingPackage as error:
        pytest.skip(str(error))
    assert isinstance(licence, str)
    assert len(licence) > 2
