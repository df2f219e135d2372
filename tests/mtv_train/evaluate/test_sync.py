"""SyncNet's arithmetic: the reference; a known shift is found; distance and confidence as calculated by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from demix.records import Box, FaceTrack
from mtv_train.evaluate import sync
from mtv_train.evaluate.networks.syncnet import SyncNet
from tests.mtv_train.evaluate.conftest import Vector

Read = Callable[[str], Vector]


@pytest.mark.parametrize("shift", [3, -3])
@pytest.mark.parametrize("max_shift", [15, 10])
def test_planted_shift_reference(vector: Read, shift: int, max_shift: int) -> None:
    reference = vector("syncnet")
    base = reference.tensor("syncnet_features_70x1024", (70, 1024))
    noise = 0.3 * reference.tensor("syncnet_feature_noise", (60, 1024))
    sound = base[5 + shift : 65 + shift] + noise
    name = f"{'plus' if shift > 0 else 'minus'}3_vshift{max_shift}"
    distances = sync.shifted_distances(base[5:65], sound, max_shift)
    np.testing.assert_allclose(distances[:5], reference[f"{name}_dists_first5"], atol=2e-4)
    curve = distances.mean(0)
    np.testing.assert_allclose(curve, reference[f"{name}_mdist"], atol=2e-4)
    found = sync.judge(curve)
    assert found.offset == int(reference[f"{name}_offset"]) == shift
    assert found.distance == pytest.approx(float(reference[f"{name}_min_dist"]), abs=2e-4)
    assert found.confidence == pytest.approx(float(reference[f"{name}_confidence"]), abs=2e-4)
    smooth = sync.framewise_confidence(distances)
    np.testing.assert_allclose(smooth, reference[f"{name}_framewise_conf_medfilt9"], atol=2e-4)


def test_by_hand() -> None:
    """Lips (1, 0), (2, 0), (3, 0), (4, 0); the sound says the same one frame later; beyond its ends it is zero.

    Shift -1 compares with the frame before: |1-0|, |2-0|, |3-1|, |4-2|; shift 0: 1, 1, 1, 1; shift 1: 0, 0, 0, 4.
    """
    lips = torch.tensor([[1.0, 0], [2, 0], [3, 0], [4, 0]])
    sound = torch.tensor([[0.0, 0], [1, 0], [2, 0], [3, 0]])
    distances = sync.shifted_distances(lips, sound, 1)
    np.testing.assert_allclose(distances, [[1, 1, 0], [2, 1, 0], [2, 1, 0], [2, 1, 4]], atol=1e-5)
    found = sync.judge(distances.mean(0))  # means 1.75, 1, 1
    assert found.offset == 0  # of equal ones the first
    assert found.distance == pytest.approx(1, abs=1e-5)
    assert found.confidence == pytest.approx(0, abs=1e-5)


def test_score_is_the_mean_over_tracks() -> None:
    metric = sync.LipSync(SyncNet(), faces=None, device=torch.device("cpu"), batch=4)  # type: ignore[arg-type]
    found = metric.score({"distances": np.array([[9.0, 7, 8, 9, 9], [12.0, 12, 12, 10, 12]])})
    assert found == {
        "sync_c": pytest.approx((2 + 2) / 2),
        "sync_d": pytest.approx((7 + 10) / 2),
        "sync_offset": pytest.approx(-40),  # of the mean, 10.5 9.5 10 9.5 10.5, the first of the least
    }


@pytest.mark.parametrize("milliseconds", [80, 160, 320, -80, 0])
def test_a_constant_offset_is_reported(milliseconds: int) -> None:
    """Lips and sound that say the same, with noise; the sound moved. Two faces, of which one does not speak."""
    generator = torch.Generator().manual_seed(0)
    said = torch.randn(120, 64, generator=generator)
    late = round(milliseconds / 40)
    lips, sound = said[20:80], said[20 - late : 80 - late] + 0.3 * torch.randn(60, 64, generator=generator)
    other = torch.randn(60, 64, generator=generator)
    curves = [sync.shifted_distances(face, sound, 15).mean(0).numpy() for face in (lips, other)]
    assert sync.LipSync.score({"distances": np.stack(curves)})["sync_offset"] == pytest.approx(milliseconds, abs=20)


def test_clip_reference(vector: Read) -> None:
    """Sixteen frames with sound, through cepstra, both towers and the arithmetic; the number of windows too."""
    reference = vector("syncnet")
    network = SyncNet().eval()
    state = reference.state()
    state["netcnnlip.0.weight"] /= 64
    network.load_state_dict(state)
    blocks = reference.input("syncnet_blocks_16x8x8x3", (16, 8, 8, 3), 0, 256).astype(np.uint8)
    crops = blocks.repeat(28, 1).repeat(28, 2)
    t = np.arange(10240) / 16000
    tone = np.round(6000 * np.sin(2 * np.pi * (200 + 300 * t) * t))
    sound = (reference.input("syncnet_int16", (10240,), -3000, 3000) + tone).astype(np.int16)
    count = sync.window_count(len(crops), len(sound))
    assert count == 11
    cpu = torch.device("cpu")
    with torch.inference_mode():
        lips = sync._in_batches(network.embed_lips, sync.lip_windows(crops, count), 4, cpu)
        heard = sync._in_batches(network.embed_sound, sync.sound_windows(sound, count), 5, cpu)
    np.testing.assert_allclose(heard[:, :16], reference["clip16_aud_embed_first16"], atol=2e-4)
    np.testing.assert_allclose(lips[:, :16], reference["clip16_lip_embed_first16"], atol=2e-4)
    distances = sync.shifted_distances(lips, heard, 5)
    np.testing.assert_allclose(distances.mean(0), reference["clip16_mdist"], atol=2e-4)
    found = sync.judge(distances.mean(0))
    assert found.offset == int(reference["clip16_offset"])
    assert found.distance == pytest.approx(float(reference["clip16_min_dist"]), abs=2e-4)
    assert found.confidence == pytest.approx(float(reference["clip16_confidence"]), abs=2e-4)
    smooth = sync.framewise_confidence(distances)
    np.testing.assert_allclose(smooth, reference["clip16_framewise_conf_medfilt9"], atol=2e-4)


def test_sound_is_heard_as_16_bit_integers() -> None:
    wave = np.array([0.0, 0.5, -1.0, 1.0, 2.0, 1 / 32768], np.float32)
    assert sync.to_int16(wave).tolist() == [0, 16384, -32768, 32767, 32767, 1]


def test_crops_are_bgr_and_follow_the_face() -> None:
    """A face that is red on the left and blue on the right, moving by two pixels a frame."""
    pictures = np.zeros((20, 120, 160, 3), np.uint8)
    boxes = []
    for frame in range(20):
        x = 30 + 2 * frame
        pictures[frame, 30:80, x : x + 25, 0] = 200
        pictures[frame, 30:80, x + 25 : x + 50, 2] = 100
        boxes.append(Box(x0=x, y0=30, x1=x + 50, y1=80, score=1.0))
    crops = sync.face_crops(pictures, FaceTrack(frames=tuple(range(20)), boxes=tuple(boxes), detections=20))
    assert crops.shape == (20, 224, 224, 3)
    # The box fills 224 / 1.4 = 160 pixels across the middle, from the top on.
    assert crops[10, 60, 80].tolist() == [0, 0, 200]
    assert crops[10, 60, 144].tolist() == [100, 0, 0]
    # The median over 13 frames holds the ends back, not the middle.
    np.testing.assert_array_equal(crops[8], crops[10])
