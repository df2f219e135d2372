"""Nets that look at a mouth and hear speech, as judges: LR-ASD, Light-ASD, TalkNet.

All three answer "this mouth moves as in speech while there is speech", not "this sound comes from this mouth": another
person's speech scores the same as the true one, a laugh may count as speech, and they do not refuse silence. So the
stage joins them with voice activity, and nothing here claims to find dubbing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from demix import weights
from demix.lazy_module import lazy_module
from demix.media.audio import resample
from demix.models.active_speaker.mfcc import RATE, rows_for
from demix.models.active_speaker.settings import NetworkSettings
from demix.models.active_speaker.timing import NET_FPS, at_net_rate, from_net_rate, sounding, spans
from demix.models.batches import in_batches, torch_device
from demix.stage import Resources
from demix.weights import WeightsBroken

if TYPE_CHECKING:
    import torch
    from torch import nn
else:
    torch = lazy_module("torch")
    nn = lazy_module("torch.nn")

CENTRE = slice(56, 168)
"""Rows and columns of the 224 crop that the nets see. Without this cut the scores fall by 1 to 2."""
AUDIO_ROWS = 4
"""Rows of cepstra a video frame."""


class NetworkJudge:
    """Meets `demix.models.active_speaker.ActiveSpeakerJudge` with one of the nets, its released weights loaded."""

    revision: ClassVar[str] = "1"
    weight_set: ClassVar[str]
    """Name in `demix.weights`."""
    resources: ClassVar[Resources] = Resources(gpus=0.25, pool="active_speaker")

    least_seconds: ClassVar[float] = 0.4
    """Sound that must fall on the track for a decision."""
    silence_db: ClassVar[float] = -60.0
    """dBFS: frames with less sound say nothing of who speaks."""

    @staticmethod
    def network() -> nn.Module:
        """The net, without weights."""
        raise NotImplementedError

    @classmethod
    def weights(cls, settings: NetworkSettings) -> tuple[str, ...]:
        return (cls.weight_set,)

    def __init__(self, settings: NetworkSettings, device: str = "auto", threads: int = 1):
        torch.set_num_threads(threads)
        self.settings = settings
        self.device = torch_device(device)
        self.net = load(self.network(), weights.locate(self.weight_set)["model"]).to(self.device)

    def score(self, faces: np.ndarray, fps: float, wave: np.ndarray, sample_rate: int) -> np.ndarray | None:
        """The net's score of "speaking" less the threshold, float32 (frames,).

        None when less than `least_seconds` of sound falls on the track. `faces` uint8 (frames, 224, 224) at `fps`;
        `wave` float32 (samples,), their sound.
        """
        heard = sounding(wave, sample_rate, fps, len(faces), self.silence_db)
        if heard.sum() < max(self.least_seconds * fps, 1):
            return None
        pictures = faces[at_net_rate(len(faces), fps), CENTRE, CENTRE]
        rows = rows_for(resample(wave, sample_rate, RATE), AUDIO_ROWS * len(pictures))
        answers = np.stack([self.chunked(rows, pictures, seconds) for seconds in self.settings.durations]).mean(0)
        return (from_net_rate(answers, len(faces), fps) - self.settings.threshold).astype(np.float32)

    def chunked(self, rows: np.ndarray, pictures: np.ndarray, seconds: int) -> np.ndarray:
        """Scores float32 (frames,) of chunks of `seconds` each; `rows` float32 (4 * frames, 13), `pictures` uint8
        (frames, 112, 112). Of several durations, each ends with a short chunk, as in the references."""
        chunks = spans(len(pictures), seconds * NET_FPS, flush=len(self.settings.durations) == 1)
        scores = np.zeros(len(pictures), np.float32)
        for length in sorted({end - start for start, end, _ in chunks}):
            equal = [chunk for chunk in chunks if chunk[1] - chunk[0] == length]
            answers = in_batches(lambda part: self._answers(rows, pictures, part), equal, self.settings.batch)
            for (start, end, own), answer in zip(equal, answers, strict=True):
                scores[own:end] = answer[own - start :]
        return scores

    def _answers(
        self, rows: np.ndarray, pictures: np.ndarray, chunks: Sequence[tuple[int, int, int]]
    ) -> list[np.ndarray]:
        """Scores (frames,) of each of several chunks of equal length."""
        sound = np.stack([rows[AUDIO_ROWS * start : AUDIO_ROWS * end] for start, end, _ in chunks])
        seen = np.stack([pictures[start:end] for start, end, _ in chunks])
        with torch.inference_mode():
            logits = self.net(torch.from_numpy(sound).to(self.device), torch.from_numpy(seen).to(self.device))
        return list(logits[..., 1].float().cpu().numpy())


def load(network: nn.Module, path: Path) -> nn.Module:
    """`network` with the released state dict at `path`, strictly, ready to answer. Raises `WeightsBroken`."""
    state = weights.load_state(path, prefix="module.")
    try:
        network.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise WeightsBroken(f"{path}: not the weights of {type(network).__name__}: {error}") from error
    return network.eval()


class LrAsd(NetworkJudge):
    """Liao et al. 2025: as good as TalkNet at an eighteenth of its size."""

    name: ClassVar[str] = "lr_asd"
    licence: ClassVar[str] = "MIT (weights: Junhua-Liao/LR-ASD)"
    weight_set = "lr_asd"

    @staticmethod
    def network() -> nn.Module:
        from demix.models.active_speaker import lr_asd

        return lr_asd.network()


class LightAsd(NetworkJudge):
    """Liao et al. 2023."""

    name: ClassVar[str] = "light_asd"
    licence: ClassVar[str] = "MIT (weights: Junhua-Liao/Light-ASD)"
    weight_set = "light_asd"

    @staticmethod
    def network() -> nn.Module:
        from demix.models.active_speaker import light_asd

        return light_asd.network()


class TalkNetAsd(NetworkJudge):
    """Tao et al. 2021: what the paper used."""

    name: ClassVar[str] = "talknet"
    licence: ClassVar[str] = "MIT (weights: TaoRuijie/TalkNet-ASD)"
    weight_set = "talknet"
    resources: ClassVar[Resources] = Resources(gpus=0.5, pool="active_speaker")

    @staticmethod
    def network() -> nn.Module:
        from demix.models.active_speaker import talknet

        return talknet.network()
