"""The released networks: weights from `demix.weights`, loaded strictly, on one device."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
from torch import nn

from demix import weights
from demix.models.faces import FaceDetector
from demix.models.faces.mtcnn import MtcnnFaces
from demix.weights.archive import check_torchscript
from mtv_train.evaluate.networks.i3d import I3D
from mtv_train.evaluate.networks.imagebind import UNUSED, ImageBind
from mtv_train.evaluate.networks.syncnet import SyncNet
from mtv_train.evaluate.networks.videoclip_xl import VideoCLIPXL
from mtv_train.evaluate.settings import EvaluateSettings

M = TypeVar("M", bound=nn.Module)

CLIP_LEFTOVERS = ("text_model.embeddings.position_ids", "vision_model.embeddings.position_ids")
"""Counting numbers that old checkpoints of CLIP store and new classes do not."""


class Released:
    """What the paper's numbers, and everybody's, were measured with."""

    name: ClassVar[str] = "released"
    note: ClassVar[str] = ""

    def __init__(self, settings: EvaluateSettings, device: torch.device):
        self.settings, self.device = settings, device

    def weights(self, metric: str) -> tuple[str, ...]:
        """Names in `demix.weights` of what a metric needs."""
        i3d = {"torchscript": "i3d_torchscript", "state_dict": "i3d_kinetics400"}[self.settings.fvd.i3d]
        known: dict[str, tuple[str, ...]] = {
            "fvd": (i3d,),
            "temp_c": (self.settings.clip,),
            "text_c": ("videoclip_xl",),
            "audio_c": ("imagebind_huge",),
            "sync": ("syncnet_v2",),
        }
        return known.get(metric, ())

    def revision(self, metric: str) -> str:
        parts = [f"{name}@{weights.revision(name)}" for name in self.weights(metric)]
        if metric == "sync":
            parts.append(f"{MtcnnFaces.name}@{MtcnnFaces.revision}")
        return "+".join(parts) or "none"

    def i3d(self) -> Callable[[torch.Tensor], torch.Tensor]:
        if self.settings.fvd.i3d == "torchscript":
            return torchscript_i3d(weights.locate("i3d_torchscript")["model"], self.device)
        path = weights.locate("i3d_kinetics400")["model"]
        return load_strictly(I3D, weights.load_state(path), path).to(self.device)

    def clip(self) -> Any:
        from transformers import CLIPConfig, CLIPModel

        paths = weights.locate(self.settings.clip)
        config = CLIPConfig.from_json_file(paths["config"])
        state = weights.load_state(paths["model"])
        state = {name: value for name, value in state.items() if name not in CLIP_LEFTOVERS}
        network: Any = load_strictly(lambda: CLIPModel(config), state, paths["model"], on_meta=False)
        return network.to(self.device)

    def videoclip_xl(self) -> tuple[VideoCLIPXL, Any]:
        from transformers import CLIPTokenizer

        paths = weights.locate("videoclip_xl")
        network = load_strictly(VideoCLIPXL, weights.load_state(paths["model"]), paths["model"])
        return network.to(self.device), CLIPTokenizer(tokenizer_file=str(paths["tokenizer"]))

    def imagebind(self) -> ImageBind:
        path = weights.locate("imagebind_huge")["model"]
        state = weights.load_state(path)
        unused = tuple(f".{modality}." for modality in UNUSED)
        used = {name: value for name, value in state.items() if not any(part in name for part in unused)}
        return load_strictly(ImageBind, used, path).to(self.device)

    def syncnet(self) -> SyncNet:
        path = weights.locate("syncnet_v2")["model"]
        state = dict(weights.load_state(path))
        for name, value in SyncNet().state_dict().items():
            # The file is older than these counters.
            if name.endswith("num_batches_tracked"):
                state.setdefault(name, value)
        return load_strictly(SyncNet, state, path).to(self.device)

    def faces(self) -> FaceDetector:
        return MtcnnFaces()


def load_strictly(build: Callable[[], M], state: Mapping[str, torch.Tensor], path: Path, on_meta: bool = True) -> M:
    """A network with exactly the tensors of `state`, as float32, for inference. `on_meta`: it is built without memory
    of its own first. Raises `WeightsBroken` naming what is missing, too much or of another shape."""
    with torch.device("meta" if on_meta else "cpu"):
        network = build()
    whole = {name: value.float() if value.is_floating_point() else value for name, value in state.items()}
    try:
        network.load_state_dict(whole, strict=True, assign=on_meta)
    except RuntimeError as error:
        raise weights.WeightsBroken(
            f"{path}: this is not the released file of {type(network).__name__}: {error}"
        ) from error
    return network.eval().requires_grad_(False)


def torchscript_i3d(path: Path, device: torch.device) -> Callable[[torch.Tensor], torch.Tensor]:
    """StyleGAN-V's detector, which is published as TorchScript: a program, which is looked at before it is run."""
    check_torchscript(path)
    try:
        module = torch.jit.load(str(path), map_location=device).eval()
    except RuntimeError as error:
        raise weights.WeightsBroken(f"{path}: not a TorchScript file ({str(error).splitlines()[0]})") from error
    return lambda video: torch.as_tensor(module(video, rescale=False, resize=False, return_features=True))
