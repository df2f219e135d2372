"""Ultralytics YOLO, the paper's detector of persons. Code and weights are AGPL-3.0: an optional extra, chosen by name.

Nothing here is imported unless somebody chooses it, and nothing of the package runs but the net itself: frames are made
ready, and boxes decoded, by us; the package's own loader, which would execute what a weight file says, is not used.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from demix import weights
from demix.lazy_module import lazy_module
from demix.models.batches import in_batches, torch_device
from demix.models.missing import MissingPackage
from demix.models.persons.rtdetr import boxes_of
from demix.models.persons.settings import YoloSettings
from demix.records import Box
from demix.stage import Resources
from demix.weights import WeightsBroken, cache_folder

if TYPE_CHECKING:
    import torch
    from torch import nn

    from demix.weights.inert import Placeholder
else:
    torch = lazy_module("torch")
    nn = lazy_module("torch.nn")

cv2: Any = lazy_module("cv2")
ops: Any = lazy_module("torchvision.ops")

STRIDE = 32
"""Sides of what the net sees are multiples of this."""
GREY = 114
"""Of the border around a frame that has another shape."""
MOST = 300
"""Boxes a frame."""
NOTICE = (
    "Ultralytics YOLO is licensed under AGPL-3.0 (code and weights): whoever passes on or serves what is built with it "
    "must do so under AGPL-3.0, or hold a licence of the vendor. `persons.persons: rtdetr` has no such condition."
)


class YoloPersons:
    """A `PersonDetector`."""

    name: ClassVar[str] = "yolo"
    revision: ClassVar[str] = "1"
    licence: ClassVar[str] = "AGPL-3.0 or commercial (Ultralytics: code and weights); conditions apply to what is built"
    resources: ClassVar[Resources] = Resources(gpus=0.25, pool="persons")

    @classmethod
    def weights(cls, settings: YoloSettings) -> tuple[str, ...]:
        return (settings.weights,)

    def __init__(self, settings: YoloSettings, device: str = "auto", threads: int = 1, smallest: int = 32):
        torch.set_num_threads(threads)
        print(NOTICE, file=sys.stderr)
        self.settings = settings
        self.smallest = smallest
        self.device = torch_device(device)
        network, self.label = load(weights.locate(settings.weights)["model"])
        self.network = network.to(self.device)

    def detect(self, frames: np.ndarray) -> list[list[Box]]:
        """Persons on `frames`, uint8 RGB (frames, height, width, 3), the surest first; boxes clipped to the frame."""
        return in_batches(self._detect_batch, list(frames), self.settings.batch)

    def _detect_batch(self, frames: Sequence[np.ndarray]) -> list[list[Box]]:
        height, width = frames[0].shape[:2]
        scale, left, top, seen = letterboxed(frames, self.settings.side)
        with torch.inference_mode():
            answer = self.network(torch.from_numpy(seen).to(self.device).permute(0, 3, 1, 2).float() / 255)
        found = (answer[0] if isinstance(answer, tuple) else answer).float().cpu()  # (frames, 4 + classes, places)
        shift = torch.tensor([left, top, left, top])
        result = []
        for boxes, scores in (self._decoded(each) for each in found):
            result.append(boxes_of((boxes - shift).double() / scale, scores.double(), height, width, self.smallest))
        return result

    def _decoded(self, answer: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Boxes (n, 4) and scores (n,) where a person is the likeliest class, after suppression."""
        best, label = answer[4:].max(0)
        mine = (label == self.label) & (best >= self.settings.least_score)
        boxes, scores = ops.box_convert(answer[:4, mine].T, "cxcywh", "xyxy"), best[mine]
        keep = ops.nms(boxes, scores, self.settings.overlap)[:MOST]
        return boxes[keep], scores[keep]


def letterboxed(frames: Sequence[np.ndarray], side: int) -> tuple[float, int, int, np.ndarray]:
    """Frames of one shape scaled so that the longer side is `side`, with grey borders up to multiples of 32.

    Answers the scale, the borders at the left and at the top, and uint8 (frames, height, width, 3).
    """
    height, width = frames[0].shape[:2]
    scale = min(side / height, side / width)
    new = round(width * scale), round(height * scale)
    across, down = (-new[0] % STRIDE) / 2, (-new[1] % STRIDE) / 2
    left, right, top, bottom = round(across - 0.1), round(across + 0.1), round(down - 0.1), round(down + 0.1)
    seen = [
        cv2.copyMakeBorder(
            cv2.resize(frame, new, interpolation=cv2.INTER_LINEAR),
            *(top, bottom, left, right),
            cv2.BORDER_CONSTANT,
            value=(GREY, GREY, GREY),
        )
        for frame in frames
    ]
    return scale, left, top, np.stack(seen)


def load(path: Path) -> tuple[nn.Module, int]:
    """The net of a released `.pt` and its number for persons. The file's objects are read as data and none is made.

    Raises `WeightsBroken`, and `MissingPackage` without ultralytics.
    """
    from demix.weights.inert import Placeholder, read_inert

    detection_model = _network_class()
    package = read_inert(path)
    stored = (package.get("ema") or package.get("model")) if isinstance(package, dict) else None
    if not isinstance(stored, Placeholder) or not isinstance(getattr(stored, "state", None), dict):
        raise WeightsBroken(f"{path}: not a checkpoint of Ultralytics; fetch it again")
    shape, names = checked_shape(path, stored.state["yaml"]), stored.state["names"]
    persons = [number for number, name in names.items() if name == "person"]
    if not persons:
        raise WeightsBroken(f"{path}: the net knows no class 'person'")
    network: nn.Module = detection_model(cfg=shape, ch=int(shape.get("ch", 3)), nc=len(names), verbose=False)
    try:
        network.load_state_dict({name: tensor.float() for name, tensor in tensors(stored).items()}, strict=True)
    except RuntimeError as error:
        raise WeightsBroken(f"{path}: its tensors do not fit the net that it describes: {error}") from error
    return network.eval(), int(persons[0])


def checked_shape(path: Path, shape: Any) -> dict[str, Any]:
    """The description of a net, which the library's parser would otherwise take for more than data: it evaluates an
    activation as Python, and calls whatever is named as a layer. Raises `WeightsBroken`."""
    from torch import nn
    from ultralytics.nn import modules

    try:
        rows = [*shape["backbone"], *shape["head"]]
        layers = [str(module) for _, _, module, _ in rows]
    except (LookupError, TypeError, ValueError) as error:
        raise WeightsBroken(f"{path}: describes no net of Ultralytics ({error}); fetch it again") from error
    if shape.get("activation"):
        raise WeightsBroken(f"{path}: names an activation, which would be run as Python; get the released file")
    for layer in layers:
        home, name = (nn, layer[3:]) if layer.startswith("nn.") else (modules, layer)
        kind = getattr(home, name, None)
        if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
            raise WeightsBroken(f"{path}: asks for a layer {layer!r}, which is none of the library; fetch it again")
    return dict(shape)


def tensors(module: Placeholder, prefix: str = "") -> dict[str, torch.Tensor]:
    """The state dict of a pickled `torch.nn.Module`, by walking what it holds."""
    state: dict[str, Any] = module.state
    own = {**state.get("_parameters", {}), **state.get("_buffers", {})}
    found = {f"{prefix}{name}": tensor.detach() for name, tensor in own.items() if tensor is not None}
    for name, child in state.get("_modules", {}).items():
        if child is not None:
            found |= tensors(child, f"{prefix}{name}.")
    return found


def _network_class() -> Any:
    # Before the import: no look at the network, no installing of packages, settings in a folder of ours.
    folder = cache_folder() / "ultralytics"
    for name, value in {"YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false", "YOLO_CONFIG_DIR": str(folder)}.items():
        os.environ.setdefault(name, value)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        from ultralytics.nn.tasks import DetectionModel
    except ImportError as error:
        raise MissingPackage("yolo", "the package ultralytics-opencv-headless", "ultralytics") from error
    return DetectionModel
