"""The active-speaker nets: equal to the references on generated and on released weights, loaded strictly, and asked in
chunks as the references ask them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from demix import weights
from demix.models import choose
from demix.models.active_speaker import light_asd, lr_asd, talknet
from demix.models.active_speaker.mfcc import mfcc
from demix.models.active_speaker.networks import LrAsd, TalkNetAsd, load
from demix.models.active_speaker.settings import NetworkSettings
from demix.models.active_speaker.timing import smoothed
from demix.stages.active_speaker import ActiveSpeakerSettings
from demix.weights import WeightsBroken, WeightsMissing
from tests.models.vectors import Vector

NETWORKS = {
    "lr_asd_rule": lr_asd.network,
    "light_asd_rule": light_asd.network,
    "talknet_asd_rule": talknet.network,
    "lr_asd_talkset": lr_asd.network,
    "light_asd_talkset": light_asd.network,
}
RELEASED = {"lr_asd_talkset": "LR-ASD", "light_asd_talkset": "Light-ASD"}


def released(name: str, folder: Path) -> Path:
    return folder / RELEASED[name] / "finetuning_TalkSet.model"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DEMIX_WEIGHTS", str(tmp_path))
    return tmp_path


@pytest.fixture
def judge(cache: Path, shared_weights: Path) -> LrAsd:
    """LR-ASD with its released weights, averaged over 1 to 6 s."""
    (cache / "lr_asd").mkdir()
    shutil.copy(released("lr_asd_talkset", shared_weights), cache / "lr_asd")
    return LrAsd(NetworkSettings(durations=(1, 2, 3, 4, 5, 6), threshold=0.0), "cpu")


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_answers_as_the_reference_does(
    name: str, shared_vectors: Path, request: pytest.FixtureRequest
) -> None:
    vector = Vector(shared_vectors, name)
    network = NETWORKS[name]()
    assert {key: list(value.shape) for key, value in network.state_dict().items()} == vector.facts["keys"]
    if name in RELEASED:
        network = load(network, released(name, request.getfixturevalue("shared_weights")))
    else:
        network.load_state_dict(vector.state(), strict=True)
    assert_meets(network.eval(), vector, loose=2.5 if name.startswith("talknet") else 1.0)


@torch.inference_mode()
def assert_meets(network: nn.Module, vector: Vector, loose: float) -> None:
    """Embeddings, features and logits of both clips, and logits of the first second alone; tolerances as stated."""
    sound = torch.from_numpy(np.float32(vector.array("asd_mfcc_200x13", (1, 200, 13)) * 5))
    blocks = vector.array("asd_video_blocks_50x8x8", (1, 50, 8, 8), 0, 256).repeat(14, 2).repeat(14, 3)
    clips = {"noise": vector.array("asd_video_50x112x112", (1, 50, 112, 112), 0, 256), "blocks": blocks}
    audio = network.model.forward_audio(sound)
    for clip, pictures in clips.items():
        visual = network.model.forward_visual(torch.from_numpy(pictures.astype(np.uint8)))
        found = {"audio_embed": (audio, 5e-5), "visual_embed": (visual, 5e-5)}
        both = audio, visual
        if isinstance(network, talknet.TalkNet):
            found = {name: (value, 1e-4) for name, (value, _) in found.items()}
            both = network.model.cross(audio, visual)
            found |= {"audio_cross": (both[0], 5e-5), "visual_cross": (both[1], 5e-5)}
        feature = network.model.fuse(*both)
        found |= {"av_feature": (feature, 2e-5 * loose)}
        for name, (value, tolerance) in found.items():
            np.testing.assert_allclose(value[0, ::5, :64], vector.outputs[f"{clip}_{name}"], rtol=0, atol=tolerance)
        np.testing.assert_allclose(network.lossAV(feature)[0], vector.outputs[f"{clip}_logits_av"], rtol=0, atol=2e-5)
    first = network(sound[:, :100], torch.from_numpy(clips["noise"][:, :25]))[0]
    np.testing.assert_allclose(first, vector.outputs["first25_logits_av"], rtol=0, atol=2e-5)


def test_chunks_of_one_to_six_seconds_are_averaged_as_in_the_reference(judge: LrAsd, shared_vectors: Path) -> None:
    vector = Vector(shared_vectors, "lr_asd_talkset_multiduration")
    pictures = vector.array("asd_multi_video_180x8x8", (180, 8, 8), 0, 256).repeat(14, 1).repeat(14, 2).astype(np.uint8)
    t = np.arange(115_200) / 16_000
    noise = vector.array("asd_multi_int16", (115_200,), -3000, 3000) * (0.5 + 0.5 * np.sin(2 * np.pi * 0.7 * t))
    rows = mfcc((noise + np.round(6000 * np.sin(2 * np.pi * (200 + 40 * t) * t))).astype(np.int16)).astype(np.float32)
    assert len(rows) == vector.outputs["mfcc_frames"]
    frames, used = vector.outputs["frames_used"]
    if frames > used:
        frames, used = used, frames
    scores = np.stack([judge.chunked(rows[:used], pictures[:frames], seconds) for seconds in range(1, 7)])
    np.testing.assert_allclose(scores, vector.outputs["scores_per_duration"], rtol=0, atol=2e-5)
    np.testing.assert_allclose(scores.mean(0), vector.outputs["mean"], rtol=0, atol=2e-5)
    rounded = np.round(scores.mean(0), 1)
    np.testing.assert_allclose(rounded, vector.outputs["rounded"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(smoothed(rounded, drop_last=True), vector.outputs["smoothed"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("network", [lr_asd.network, light_asd.network, talknet.network])
def test_a_batch_answers_as_its_members_alone(network: type[nn.Module]) -> None:
    torch.manual_seed(0)
    net = network().eval()
    sound, pictures = torch.randn(3, 40, 13) * 5, torch.randint(0, 256, (3, 10, 112, 112), dtype=torch.uint8)
    with torch.inference_mode():
        alone = torch.cat([net(sound[i : i + 1], pictures[i : i + 1]) for i in range(3)])
        torch.testing.assert_close(net(sound, pictures), alone, rtol=0, atol=1e-5)


def test_the_weights_of_another_net_are_refused(shared_weights: Path) -> None:
    with pytest.raises(WeightsBroken, match="not the weights of SmallNetwork"):
        load(lr_asd.network(), released("light_asd_talkset", shared_weights))


def test_missing_weights_say_how_to_get_them(cache: Path) -> None:
    with pytest.raises(WeightsMissing, match="demix weights fetch lr_asd"):
        LrAsd(NetworkSettings(), "cpu")
    with pytest.raises(WeightsMissing, match="Google Drive"):
        TalkNetAsd(NetworkSettings(), "cpu")


def test_the_record_names_the_weights(judge: LrAsd) -> None:
    choice = choose("active_speaker", "lr_asd", ActiveSpeakerSettings(model="lr_asd"))
    assert choice.credit().revision == "1+6b4ef536"
    assert weights.revision("lr_asd") == "6b4ef536"


def test_a_track_without_sound_is_undecidable(judge: LrAsd) -> None:
    faces = np.zeros((48, 224, 224), np.uint8)
    assert judge.score(faces, 24.0, np.zeros(32_000, np.float32), 16_000) is None


def test_every_frame_at_any_rate_has_a_score(judge: LrAsd) -> None:
    rng = np.random.default_rng(0)
    faces = rng.integers(0, 256, (29, 224, 224), dtype=np.uint8)
    wave = rng.normal(0, 0.1, round(29 / 23.976 * 44_100)).astype(np.float32)
    scores = judge.score(faces, 23.976, wave, 44_100)
    assert scores is not None
    assert scores.shape == (29,)
    assert scores.dtype == np.float32
    assert np.isfinite(scores).all()
