"""The loaders that benchmarks/loader.py compares: the clips, each as an iterator of batches, and the peers' files."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from mtv_train.data.index import DatasetIndex
from mtv_train.data.loader import Loader
from mtv_train.data.order import StageMix
from mtv_train.data.settings import DataSettings, LoaderSettings, WindowSettings
from mtv_train.data.sound import read_track
from mtv_train.data.video import decode_window

BATCH, WORKERS, SEED = 4, 2, 7
PREFETCH = 2
"""Batches that each worker holds ready: torch's default. Ours counts samples."""
TRACKS = ("speech", "effects", "music")


# --- the clips --------------------------------------------------------------------------------------------------------


def write_tars(folder: Path, clips: int, window: WindowSettings, different: int, per_tar: int = 16) -> None:
    """Clips of one window each: moving noise, three stems of 48 kHz stereo, a text. Of their pictures and sounds only
    the first few are made, the others repeat them under keys and texts of their own: nobody goes by content, and
    encoding takes much longer than decoding."""
    folder.mkdir()
    random = np.random.default_rng(0)
    made = [_media(random, window) for _ in range(min(different, clips))]
    for start in range(0, clips, per_tar):
        with tarfile.open(folder / f"{start // per_tar:04d}.tar", "w") as tar:
            for number in range(start, min(start + per_tar, clips)):
                members = {**made[number % len(made)], "txt": f"Scene {number}.".encode()}
                for name, data in sorted(members.items()):
                    info = tarfile.TarInfo(f"clip{number:06d}.{name}")
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))


def _media(random: np.random.Generator, window: WindowSettings) -> dict[str, bytes]:
    wave = random.uniform(-0.1, 0.1, (48000 * window.frames // 24, 2)).astype(np.float32)
    return {"mp4": _video(random, window)} | {f"{track}.flac": _flac(wave) for track in TRACKS}


def _video(random: np.random.Generator, window: WindowSettings) -> bytes:
    file = io.BytesIO()
    coarse = random.integers(0, 255, (window.height // 8, window.width // 8, 3), np.uint8)
    picture = coarse.repeat(8, 0).repeat(8, 1)
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=24, options={"preset": "veryfast"})
        stream.height, stream.width, stream.pix_fmt = window.height, window.width, "yuv420p"
        for number in range(window.frames):
            moved = np.ascontiguousarray(np.roll(picture, 3 * number, 1))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(moved, format="rgb24")))
        container.mux(stream.encode())
    return file.getvalue()


def _flac(wave: np.ndarray) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, wave, 48000, format="FLAC", subtype="PCM_16")
    return file.getvalue()


# --- the loaders: each an iterator of batches from a sample number on -------------------------------------------------


@dataclass(frozen=True)
class Make:
    """A clip's bytes to what training needs of it: what every loader's workers do."""

    window: WindowSettings

    def __call__(self, members: Mapping[str, bytes]) -> tuple[Tensor, Tensor, str]:
        video = torch.from_numpy(decode_window(members["mp4"], "", 0, self.window))
        tracks = [read_track(members[f"{track}.flac"], "", track, self.window.frames, self.window) for track in TRACKS]
        return video, torch.from_numpy(np.stack(tracks)), members["txt"].decode()


def collate(samples: list[tuple[Tensor, Tensor, str]]) -> list[Any]:
    """The peers' batch, in as few tensors as can be, as each costs a hand-over: all clips are equally long here. The
    first element tells its size."""
    videos, tracks, texts = zip(*samples, strict=True)
    return [torch.stack(videos), torch.stack(tracks), texts]


PEERS: dict[str, Any] = {
    "batch_size": BATCH,
    "num_workers": WORKERS,
    "collate_fn": collate,
    "prefetch_factor": PREFETCH,
    "persistent_workers": True,  # else two of them start new processes every epoch
}


def open_index(folder: Path, window: WindowSettings) -> DatasetIndex:
    return DatasetIndex.open(DataSettings(dataset=str(folder / "tars"), window=window))


def ours(folder: Path, make: Make, position: int) -> Iterator[Any]:
    mix, settings = StageMix("stage", {"all": 1.0}), LoaderSettings(workers=WORKERS, prefetch=PREFETCH * BATCH)
    return Loader(open_index(folder, make.window), mix, SEED, settings, batch=BATCH, samples_seen=position)


class Skipping(IterableDataset[Any]):
    """Reads and throws away an equal part in every worker: there is nothing else that webdataset resumes by."""

    def __init__(self, samples: Any, make: Make, skipped: int):
        self.samples, self.make, self.skipped = samples, make, skipped

    def __iter__(self) -> Iterator[Any]:
        return map(self.make, islice(iter(self.samples), self.skipped, None))


def webdataset(folder: Path, make: Make, position: int) -> Iterator[Any]:
    import webdataset as wds

    tars = [str(path) for path in sorted((folder / "tars").glob("*.tar"))]
    samples = wds.WebDataset(tars, shardshuffle=len(tars), seed=SEED).shuffle(16).repeat()
    dataset = Skipping(samples, make, position // WORKERS)
    return iter(DataLoader(dataset, **PEERS))


def litdata(folder: Path, make: Make, position: int) -> Iterator[Any]:
    from litdata import StreamingDataLoader, StreamingDataset

    def loader() -> Any:
        dataset = StreamingDataset(str(folder / "litdata"), shuffle=True, seed=SEED, transform=make)
        return StreamingDataLoader(dataset, **PEERS)

    made = loader()
    size, workers = len(made.dataset), WORKERS
    epoch, within = divmod(position, size)
    state = {
        "dataset": made.dataset.state_dict(within, workers, BATCH),
        "current_epoch": epoch + 1,
        "num_samples_yielded": within,
        "latest_worker_idx": workers - 1,
    }
    state["dataset"]["current_epoch"] = epoch + 1
    made.load_state_dict(state)
    return _epochs(made)


def mosaic(folder: Path, make: Make, position: int) -> Iterator[Any]:
    from streaming import StreamingDataLoader, StreamingDataset

    class Made(StreamingDataset):
        def __getitem__(self, at: Any) -> Any:
            return make(super().__getitem__(at))

    dataset = Made(local=str(folder / "mosaic"), shuffle=True, shuffle_seed=SEED, batch_size=BATCH)
    loader = StreamingDataLoader(dataset, **PEERS)
    epoch, within = divmod(position, dataset.size)
    facts = {"num_canonical_nodes": 1, "shuffle_seed": SEED, "initial_physical_nodes": 1}
    loader.load_state_dict({"epoch": epoch, "sample_in_epoch": within, **facts})
    return _epochs(loader)


def _epochs(loader: Any) -> Iterator[Any]:
    while True:
        yield from loader


LOADERS: dict[str, Callable[[Path, Make, int], Iterator[Any]]] = {
    "mtv_train": ours, "webdataset": webdataset, "litdata": litdata, "mosaicml-streaming": mosaic
}  # fmt: skip
PACKAGES = {"litdata": "litdata", "mosaicml-streaming": "streaming"}
"""Of the peers that need files of their own."""


# --- the peers' own files --------------------------------------------------------------------------------------------


def samples_of(folder: Path) -> Iterator[dict[str, bytes]]:
    """The clips of the tars as mappings."""
    for path in sorted((folder / "tars").glob("*.tar")):
        clips: dict[str, dict[str, bytes]] = {}
        with tarfile.open(path) as tar:
            for info in tar:
                key, _, name = info.name.partition(".")
                clips.setdefault(key, {})[name] = tar.extractfile(info).read()  # type: ignore[union-attr]
        yield from clips.values()


def same(sample: dict[str, bytes]) -> dict[str, bytes]:
    return sample


def convert(name: str, folder: Path) -> None:
    """Writes the clips in a peer's own format."""
    if name == "litdata":
        from litdata import optimize

        optimize(same, list(samples_of(folder)), str(folder / name), chunk_bytes="64MB", num_workers=1, verbose=False)
        return
    from streaming import MDSWriter

    columns = dict.fromkeys(("mp4", "txt", *(f"{track}.flac" for track in TRACKS)), "bytes")
    with MDSWriter(out=str(folder / "mosaic"), columns=columns) as writer:
        for sample in samples_of(folder):
            writer.write(sample)
