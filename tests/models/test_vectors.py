"""Every parity vector of the builder's models is met by a test, and the table says by which."""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent
GROUPS = ("demixing", "audio quality", "active speaker", "cuts, captions")
"""Groups of the vectors' README that concern the builder's models; the others are the trainer's and the metrics'."""
MET_BY = {
    "spleeter_2stems": "demixing/test_spleeter.py",
    "spleeter_tf_bundle": "demixing/test_spleeter.py",
    "htdemucs_tiny": "demixing/test_cdx23.py",
    "bandit_plus_small": "demixing/test_bandit_plus.py",
    "bandit_plus_full_keys": "demixing/test_bandit_plus.py",
    "audiobox_tiny": "audio_quality/test_audiobox.py",
    "mfcc_frontend": "active_speaker/test_mfcc.py",
    "lr_asd_rule": "active_speaker/test_networks.py",
    "lr_asd_talkset": "active_speaker/test_networks.py",
    "lr_asd_talkset_multiduration": "active_speaker/test_networks.py",
    "light_asd_rule": "active_speaker/test_networks.py",
    "light_asd_talkset": "active_speaker/test_networks.py",
    "talknet_asd_rule": "active_speaker/test_networks.py",
    "scenedetect_content": "shots/test_adaptive.py",
    "llava_video": "captioning/test_llava_video.py",
    "llava_siglip_pre": "captioning/test_llava_video.py",
}
"""Vector -> the test that meets it."""


def test_no_vector_is_forgotten(shared_vectors: Path) -> None:
    rows = (line.split("|") for line in (shared_vectors / "README.md").read_text(encoding="utf-8").splitlines())
    listed = {cells[1].strip(): cells[2] for cells in rows if len(cells) >= 4}
    named = {name for group in GROUPS for name in listed[group].replace("`", " ").replace(",", " ").split()}
    there = {path.stem for path in shared_vectors.glob("*.json")}
    assert named & there == set(MET_BY)


@pytest.mark.parametrize(("vector", "test"), MET_BY.items())
def test_the_test_that_is_named_reads_the_vector(vector: str, test: str) -> None:
    assert f'"{vector}' in (HERE / test).read_text(encoding="utf-8")
