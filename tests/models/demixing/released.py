"""Generated weights in the exact layout of the releases, put into a cache folder as if they had been fetched."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from demucs.htdemucs import HTDemucs

from demix import weights
from demix.models.demixing.bandit_network import BanditPlus
from demix.weights.fetch import adopt
from demix.weights.receipt import RANDOM
from demix.weights.tensorflow import read_index

TINY = {
    "sources": ["music", "effect", "dialog"],
    "audio_channels": 2,
    "channels": 8,
    "t_layers": 1,
    "t_heads": 2,
    "t_hidden_scale": 1.0,
    "bottom_channels": 16,
    "segment": 1,
}
"""Arguments of an HTDemucs that is small enough for tests."""
STRUCTURE = ("freq_weights", "window")
"""Parts of the names of buffers that a network computes itself."""


def put(name: str, files: dict[str, Path]) -> None:
    """Files by key as the set `name` of the cache, marked as generated."""
    entry = weights.find(name)
    for file in entry.files:
        adopt(entry, file, files[file.key], RANDOM)


def htdemucs(seed: int, **arguments: Any) -> HTDemucs:
    """A network of random weights that is not silent."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = HTDemucs(**{**TINY, **arguments})
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.mul_(1.5)
    return network.eval()


def htdemucs_package(network: HTDemucs, **changes: Any) -> dict[str, Any]:
    """What a released `.th` holds."""
    arguments, named = network._init_args_kwargs
    state = {name: tensor.half() for name, tensor in network.state_dict().items()}
    training = {"epochs": 360, "dset": {"train_valid": True, "sources": named["sources"]}}
    return {
        "klass": HTDemucs,
        "args": arguments,
        "kwargs": named,
        "state": state,
        "training_args": training,
        **changes,
    }


def put_cdx23(folder: Path, **arguments: Any) -> None:
    """All three checkpoints, tiny."""
    for number in (1, 2, 3):
        torch.save(htdemucs_package(htdemucs(number, **arguments)), folder / f"{number}.th")
    put("cdx23", {"model1": folder / "1.th"})
    put("cdx23_ensemble", {"model2": folder / "2.th", "model3": folder / "3.th"})


def put_bandit_plus(folder: Path, network: BanditPlus) -> None:
    """A checkpoint as ZFTurbo's training writes it."""
    torch.save({"state_dict": {f"model.{name}": tensor for name, tensor in network.state_dict().items()}}, folder / "b")
    put("bandit_plus", {"model": folder / "b"})


def put_spleeter(folder: Path, index: bytes) -> None:
    """The checkpoint that the parity vectors' reference was run on: the same bytes, made again from the rule.

    `index` is `model.index` as TensorFlow wrote it; it says where each array lies.
    """
    (folder / "index").write_bytes(index)
    content = bytearray(78_614_080)
    for name, variable in read_index(folder / "index").items():
        if name == "global_step":
            continue
        array = spleeter_array(name, variable.shape)
        content[variable.offset : variable.offset + variable.size] = np.ascontiguousarray(array).tobytes()
    (folder / "data").write_bytes(bytes(content))
    (folder / "checkpoint").write_text('model_checkpoint_path: "model"\nall_model_checkpoint_paths: "model"\n')
    put("spleeter_2stems", {key: folder / key for key in ("index", "data", "checkpoint")})


def spleeter_array(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """One variable by the vectors' rule, in float32 throughout, so that it is exact to the bit."""
    key = name.replace("/", ".").replace("moving_variance", "running_var")
    if len(shape) != 4:
        noise = np.random.default_rng([zlib.crc32(key.encode()), 0]).standard_normal(shape, dtype=np.float32)
        if key.endswith("running_var"):
            return np.asarray(np.abs(noise) * 0.5 + 0.5, np.float32)
        return np.asarray(1 + 0.1 * noise if key.endswith("gamma") else 0.1 * noise, np.float32)
    turned = (shape[3], shape[2], shape[0], shape[1])
    noise = np.random.default_rng([zlib.crc32(key.encode()), 0]).standard_normal(turned, dtype=np.float32)
    kernel = noise / np.float32(np.sqrt(np.prod(turned[1:])))
    gain = {"conv2d/kernel": 0.25, "conv2d_7/kernel": 0.25, "conv2d_6/kernel": 0.6, "conv2d_13/kernel": 0.6}.get(name)
    return (kernel if gain is None else kernel * np.float32(gain)).transpose(2, 3, 1, 0)
