"""The networks meet the reference implementations' outputs on generated weights, and their released key lists."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torch import nn

from mtv_train.evaluate.networks.i3d import I3D
from mtv_train.evaluate.networks.imagebind import UNUSED, ImageBind, Shape, Shapes
from mtv_train.evaluate.networks.syncnet import SyncNet
from mtv_train.evaluate.networks.videoclip_xl import TextShape, VideoCLIPXL, VideoShape
from tests.mtv_train.evaluate.conftest import Vector

Read = Callable[[str], Vector]


@pytest.fixture(autouse=True)
def no_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


def shapes_of(module: nn.Module) -> dict[str, list[int]]:
    return {key: list(value.shape) for key, value in module.state_dict().items()}


@pytest.mark.parametrize(("norm_eps", "output"), [(1e-5, "logits"), (1e-3, "logits_bn_eps_1e-3")])
def test_i3d(vector: Read, norm_eps: float, output: str) -> None:
    reference = vector("fvd_i3d")
    network = I3D(norm_eps=norm_eps).eval()
    network.load_state_dict(reference.state())
    logits = network(torch.tanh(reference.tensor("i3d_input", (1, 3, 16, 224, 224))))
    np.testing.assert_allclose(logits.numpy(), reference[output], rtol=1e-4, atol=1e-5)


def test_i3d_pads_an_odd_number_of_frames_as_tensorflow_does(vector: Read) -> None:
    reference = vector("fvd_i3d")
    network = I3D().eval()
    network.load_state_dict(reference.state())
    logits = network(torch.tanh(reference.tensor("i3d_input_t17", (1, 3, 17, 224, 224))))
    np.testing.assert_allclose(logits.numpy(), reference["logits_t17"], rtol=1e-4, atol=1e-5)


def test_videoclip_xl(vector: Read) -> None:
    reference = vector("videoclipxl_reduced")
    text = TextShape(width=128, heads=2, layers=2)
    network = VideoCLIPXL(text, VideoShape(side=56, width=64, heads=4, layers=2), embedding=32).eval()
    network.load_state_dict(reference.state())
    video = network.embed_video(reference.tensor("videoclipxl_video", (2, 8, 3, 56, 56)))
    np.testing.assert_allclose(video.numpy(), reference["video_raw"], atol=1e-5)
    tokens = torch.from_numpy(reference.input("videoclipxl_tokens", (2, 248), 1, 49000))
    tokens[:, 0] = 49406
    tokens[0, 15], tokens[0, 16:] = 49407, 0
    tokens[1, 120], tokens[1, 121:] = 49407, 0
    np.testing.assert_allclose(network.embed_text(tokens).numpy(), reference["text_raw"], atol=1e-5)
    strings = nn.functional.normalize(network.embed_text(torch.from_numpy(reference["tokens"]).long()), dim=-1)
    np.testing.assert_allclose(strings.numpy(), reference["text_strings"], atol=2e-6)
    scores = strings @ nn.functional.normalize(video, dim=-1).T
    np.testing.assert_allclose(scores.numpy(), reference["scores"], atol=2e-6)


def reduced_imagebind(reference: Vector) -> ImageBind:
    shapes = Shapes(vision=Shape(64, 2, 4), text=Shape(48, 2, 4), audio=Shape(48, 2, 4), embedding=32)
    network = ImageBind(shapes).eval()
    state = reference.state(but=tuple(f".{name}." for name in UNUSED))
    state["modality_preprocessors.text.mask"] = network.state_dict()["modality_preprocessors.text.mask"]
    network.load_state_dict(state)
    return network


def test_imagebind(vector: Read) -> None:
    reference = vector("imagebind_reduced")
    network = reduced_imagebind(reference)
    video = network.embed_video(reference.tensor("imagebind_video", (1, 2, 3, 2, 224, 224)))
    np.testing.assert_allclose(video.numpy(), reference["video"], atol=1e-6)
    image = reference.tensor("imagebind_image", (2, 3, 224, 224))[:, None, :, None].expand(-1, -1, -1, 2, -1, -1)
    np.testing.assert_allclose(network.embed_video(image).numpy(), reference["image"], atol=1e-6)
    sound = network.embed_sound(reference.tensor("imagebind_audio", (2, 1, 128, 204))[:, None])
    np.testing.assert_allclose(sound.numpy(), reference["audio"], atol=1e-6)
    clips = network.embed_sound(reference.tensor("imagebind_audio_clips", (1, 3, 1, 128, 204)))
    np.testing.assert_allclose(clips.numpy(), reference["audio_clips"], atol=1e-6)
    tokens = torch.from_numpy(reference.input("imagebind_tokens", (2, 77), 1, 49000))
    tokens[:, 0] = 49406
    tokens[0, 10], tokens[0, 11:], tokens[1, 76] = 49407, 0, 49407
    np.testing.assert_allclose(network.embed_text(tokens).numpy(), reference["text"], atol=1e-6)
    strings = network.embed_text(torch.from_numpy(reference["tokens"]).long())
    np.testing.assert_allclose(strings.numpy(), reference["text_strings"], atol=1e-6)


def test_syncnet(vector: Read) -> None:
    reference = vector("syncnet")
    network = SyncNet().eval()
    state = reference.state()
    state["netcnnlip.0.weight"] /= 64
    network.load_state_dict({**network.state_dict(), **state})
    noise = torch.from_numpy(reference.input("syncnet_frames_9x224x224x3", (9, 224, 224, 3), 0, 256)).float()
    lips = network.embed_lips(noise.unfold(0, 5, 1).permute(0, 3, 4, 1, 2))
    np.testing.assert_allclose(lips[:, :64].numpy(), reference["lip_noise_embed_first64"], atol=2e-4)
    np.testing.assert_allclose(lips.norm(dim=1).numpy(), reference["lip_noise_embed_norm"], atol=2e-4)
    cepstra = 5 * reference.tensor("syncnet_mfcc_13x52", (13, 52))
    sound = network.embed_sound(cepstra.unfold(1, 20, 4).permute(1, 0, 2)[:, None])
    np.testing.assert_allclose(sound[:, :64].numpy(), reference["aud_embed_first64"], atol=2e-4)
    np.testing.assert_allclose(sound.norm(dim=1).numpy(), reference["aud_embed_norm"], atol=2e-4)


def test_key_lists_of_the_full_networks(vector: Read) -> None:
    """Built without memory: names and shapes are those of the released files."""
    with torch.device("meta"):
        videoclip, imagebind = VideoCLIPXL(), ImageBind()
    assert shapes_of(videoclip) == vector("videoclipxl_full_keys").facts["keys"]
    wanted = vector("imagebind_full_keys").facts["keys"]
    used = {key: shape for key, shape in wanted.items() if key.split(".")[1] not in UNUSED}
    assert shapes_of(imagebind) == used
    assert {key.split(".")[1] for key in wanted.keys() - used.keys()} == set(UNUSED)
