"""Bringing a set of weights into the cache folder: from a mirror folder, else from its public home."""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from demix.store import atomic
from demix.weights.download import Progress, download
from demix.weights.receipt import Receipt, read, sha256_of, write
from demix.weights.registry import WeightFile, Weights, WeightsBroken, WeightsMissing
from demix.weights.store import Cache, check_hash, mirror_folder, missing_message


def fetch(
    entry: Weights, cache: Cache | None = None, mirror: Path | None = None, progress: Progress | None = None
) -> list[WeightFile]:
    """Brings what is missing of a set; returns the files that came. One process of a machine at a time does it.

    Every file is checked against the published size and hash, then renamed into place, so a file that is there is
    whole. Raises `WeightsMissing` for what cannot be brought and `WeightsBroken` for what is not as published.
    """
    cache, mirror = cache or Cache(), mirror or mirror_folder()
    if not cache.missing(entry):
        return []
    with cache.lock(entry):
        absent = cache.missing(entry)
        folder = cache.folder(entry)
        for file in absent:
            if (found := in_mirror(entry, file, mirror)) is not None:
                _place(entry, file, folder, found, f"mirror {found.name}")
        for file in cache.missing(entry):
            if not file.url:
                raise WeightsMissing(missing_message(entry, [file], cache.root))
            if file.member:
                continue
            part = folder / f".{Path(file.path).name}.part"
            download(file.url, part, progress)
            try:
                _place(entry, file, folder, part, file.url)
            finally:
                part.unlink(missing_ok=True)
        for archive in {file.url for file in cache.missing(entry)}:
            _unpack(entry, [file for file in cache.missing(entry) if file.url == archive], folder, progress)
    return absent


def in_mirror(entry: Weights, file: WeightFile, mirror: Path | None) -> Path | None:
    """The file in a mirror folder: at `NAME/PATH`, at `PATH`, or under its own name in any folder of the first level.

    Where several sets publish a file of the same name, only one of the right size and hash is taken.
    """
    if mirror is None:
        return None
    name = Path(file.path).name
    places: Iterable[Path] = (mirror / entry.name / file.path, mirror / file.path, *sorted(mirror.glob(f"*/{name}")))
    for place in places:
        if place.is_file() and file.size in (None, place.stat().st_size):
            sure = place == mirror / entry.name / file.path
            if sha256_of(place) == file.sha256 if file.sha256 else sure or place == mirror / file.path:
                return place
    return None


def adopt(entry: Weights, file: WeightFile, source: Path, origin: str, cache: Cache | None = None) -> Path:
    """Copies a file into the cache under the set's name, with `origin` in its receipt; returns where it lies."""
    cache = cache or Cache()
    with cache.lock(entry):
        return _place(entry, file, cache.folder(entry), source, origin)


def _place(entry: Weights, file: WeightFile, folder: Path, source: Path, origin: str) -> Path:
    target = folder / file.path
    with atomic(target) as aside:
        shutil.copyfile(source, aside)
        receipt = Receipt(aside.stat().st_size, sha256_of(aside), origin)
        if origin != "random":
            check_hash(entry, file, receipt.sha256)
        if file.size not in (None, receipt.size):
            raise WeightsBroken(f"{entry.name}: {file.path} has {receipt.size} bytes, the release {file.size}")
    write(folder, {**read(folder), file.path: receipt})
    return target


def _unpack(entry: Weights, files: Sequence[WeightFile], folder: Path, progress: Progress | None) -> None:
    """Downloads the tar archive that holds `files`, takes just these out, and throws it away."""
    url, wanted = files[0].url, files[0].archive_sha256
    part = folder / ".archive.part"
    download(url, part, progress)
    try:
        if wanted and (found := sha256_of(part)) != wanted:
            raise WeightsBroken(f"{url}: has the sha256 {found[:16]}…, the release says {wanted[:16]}…; fetch it again")
        with tarfile.open(part) as archive:
            members = {Path(member.name).as_posix(): member for member in archive.getmembers() if member.isfile()}
            for file in files:
                if file.member not in members:
                    raise WeightsBroken(f"{url}: holds no {file.member}, only {', '.join(members)}")
                stream = archive.extractfile(members[file.member])
                assert stream is not None
                with atomic(folder / f".{Path(file.path).name}.unpacked") as aside, aside.open("wb") as target:
                    shutil.copyfileobj(stream, target)
                unpacked = folder / f".{Path(file.path).name}.unpacked"
                try:
                    _place(entry, file, folder, unpacked, f"{url} {file.member}")
                finally:
                    unpacked.unlink()
    except tarfile.TarError as error:
        raise WeightsBroken(f"{url}: not a whole tar archive ({error}); fetch it again") from error
    finally:
        part.unlink(missing_ok=True)
