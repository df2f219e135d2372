"""Speed of the learned models on a GPU: `python -m benchmarks.backends_gpu [NAME...] [--limit SECONDS] [--write]`.

The networks and questions are those of `benchmarks.backends_vision` and `benchmarks.backends_sound`, asked about a clip
of 11 s as the stages ask, with the default batches. Wall clock from the numbers in memory to the answer, the work of
the processor in it; the median of some answers after a first one that is not counted. `--device cpu` tries it out.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

import torch

from benchmarks import backends_sound, backends_vision
from benchmarks.backend import Backend, Measure, main, peak_of_processes
from benchmarks.captioners import CAPTIONERS

ANSWERS = 5
"""That are timed, at most."""
ENOUGH = 10.0
"""Seconds of timed answers after which no other is begun."""
EVERY = {**backends_vision.BACKENDS, **backends_sound.BACKENDS, **CAPTIONERS}
NAMES = (
    "transnetv2",
    "s3fd",
    "rtdetr_r18",
    "rtdetr_r50",
    "yolo",
    "lr_asd",
    "light_asd",
    "talknet_2s",
    "talknet",
    "audiobox",
    "spleeter",
    "cdx23",
    "bandit_plus",
    "pyannote",
    "llava_video",
    "qwen3_vl",
)
"""Those that a GPU helps, the largest last."""
NOTES = (
    "A clip of 11 s, as long as the paper's are on average: one face for the judges of mouths, 480p for the detectors,",
    "stereo noise for the models that hear; of `transnetv2`, 100 s of film. Settings and batches are the defaults,",
    "PyTorch's precision is its own (TF32 in convolutions, float32 in other products), the captioners' is bfloat16.",
    "Loading includes imports and the CUDA context. Peak memory is what PyTorch allocated",
    "(`torch.cuda.max_memory_allocated`); the context and what the allocator keeps in reserve come on top.",
    "",
    "`talknet` averages six chunk lengths, at six times the cost of `talknet_2s`. The captioners have random weights",
    "too: they write the longest answer that the settings allow (one person), real ones shorter answers. Their",
    "tokenizer is one of bytes here, so the question has four times as many tokens, beside those of the pictures",
    "(13,440 for `llava_video`). They are asked about one clip at a time; a stage asks about eight.",
    "",
    "Not here: what runs on the processor alone (`adaptive`, `mtcnn`, `yunet`, `mouth_flow`, `signal`, `lite`),",
    "`spleeter_package` (TensorFlow). `yolo` and `pyannote` want their packages, which are extras.",
)
RESULT = Path(__file__).parent / "results/backends_gpu.md"


def conditions(device: str) -> str:
    if device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("There is no GPU here; --device cpu tries the benchmark out.")
    where = torch.cuda.get_device_name() if device == "cuda" else "tried out on the processor"
    return f"{where}, PyTorch {torch.__version__}, one CPU thread beside it"


def measured(backend: Backend, device: str) -> dict[str, float]:
    """On a processor: one answer about the shorter clip that is usual there."""
    on_gpu = device == "cuda"

    def clock() -> float:
        if on_gpu:
            torch.cuda.synchronize()
        return time.perf_counter()

    seconds = backend.gpu_seconds if on_gpu else backend.seconds
    began = clock()
    model = backend.make(device)
    loaded = clock() - began
    if on_gpu:
        backend.ask(model, seconds)
    took: list[float] = []
    while len(took) < (ANSWERS if on_gpu else 1) and sum(took) < ENOUGH:
        began = clock()
        backend.ask(model, seconds)
        took.append(clock() - began)
    peak = torch.cuda.max_memory_allocated() / 2**20 if on_gpu else peak_of_processes()
    return {"load": loaded, "speed": seconds / statistics.median(took), "peak": peak}


ON_GPU = Measure(conditions, "peak GPU memory", measured, devices=("cuda", "cpu"), limit=90.0)

if __name__ == "__main__":
    backends = {name: EVERY[name] for name in NAMES}
    sys.exit(main("benchmarks.backends_gpu", "Learned models on a GPU", backends, RESULT, NOTES, ON_GPU))
