"""Media that were purged from the work store, brought back from the shards that hold them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from demix.dataset.layout import SHARDS
from demix.dataset.schema import SchemaError, read_rows
from demix.store import Place, Store


def restore_media(store: Store, dataset: Place, keys: Iterable[str]) -> list[str]:
    """Copies the members with these work-store keys from committed shards into the store, where it lacks them.

    A key names the clip, the file and the settings that made it, so what comes back is what was there; every copy is
    checked against its sha256. Returns the keys that neither the store nor a shard holds, sorted: their stages must
    run again. Call it for everything that will be read *before* writing the first shard: writing replaces the old ones.
    """
    missing = {key for key in keys if not store.exists(key)}
    suffix, shards = ".commit.json", Store.at(dataset)
    for path in shards.files(SHARDS) if missing else []:
        if missing and path.endswith(suffix):
            missing -= _restore_from(store, shards, path.removesuffix(suffix), missing)
    return sorted(missing)


def _restore_from(store: Store, dataset: Store, stem: str, keys: set[str]) -> set[str]:
    """Brings back what one shard holds of `keys`; returns what it did. A damaged shard holds nothing."""
    restored: set[str] = set()
    with suppress(SchemaError, FileNotFoundError):
        for row in read_rows(dataset.local(f"{stem}.parquet"), "shard"):
            for member in row["members"]:
                if member["key"] not in keys:
                    continue
                data = dataset.read(f"{stem}.tar", member["offset"], member["offset"] + member["size"])
                if _matches(data, member):
                    with store.write(member["key"]) as path:
                        path.write_bytes(data)
                    restored.add(member["key"])
    return restored


def _matches(data: bytes, member: dict[str, Any]) -> bool:
    return len(data) == member["size"] and hashlib.sha256(data).hexdigest() == member["sha256"]
