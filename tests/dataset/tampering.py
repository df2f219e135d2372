"""Ways to tamper with a dataset, from clumsy to careful (all hashes made right again)."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from demix.dataset import layout
from demix.dataset.schema import read_rows, write_rows
from demix.dataset.shard import Commit, clip_ids_sha256
from demix.dataset.tar import TarWriter, sha256_of

Clips = dict[str, dict[str, bytes]]
"""Clip id → field → bytes, in order."""


@dataclass(frozen=True)
class Folder:
    """A dataset to be tampered with."""

    path: Path

    def shards(self) -> list[str]:
        commits = sorted((self.path / layout.SHARDS).rglob("*.commit.json"))
        return [path.relative_to(self.path).as_posix().removesuffix(".commit.json") for path in commits]

    def big_shard(self) -> str:
        """One that holds several clips."""
        return next(stem for stem in self.shards() if len(self.rows(stem)) > 1)

    def rows(self, stem: str) -> list[dict[str, Any]]:
        return list(read_rows(self.path / f"{stem}.parquet", "shard"))

    def read(self, stem: str) -> Clips:
        data = (self.path / f"{stem}.tar").read_bytes()
        return {
            row["clip_id"]: {m["name"]: data[m["offset"] :][: m["size"]] for m in row["members"]}
            for row in self.rows(stem)
        }

    def patch(self, stem: str, clip: str, field: str, change: Callable[[bytearray], None]) -> None:
        """Changes a member's bytes in place; nothing else."""
        path = self.path / f"{stem}.tar"
        data = bytearray(path.read_bytes())
        (member,) = (
            m for row in self.rows(stem) if row["clip_id"] == clip for m in row["members"] if m["name"] == field
        )
        part = data[member["offset"] :][: member["size"]]
        change(part)
        data[member["offset"] : member["offset"] + member["size"]] = part
        path.write_bytes(data)

    def rewrite(self, stem: str, clips: Clips, index: bool = True, commit: bool = True) -> None:
        """Writes a shard of these clips as the real writer would, and on demand its index and commit file too."""
        rows = []
        keys = {(r["clip_id"], m["name"]): m["key"] for r in self.rows(stem) for m in r["members"]}
        _, split, signature, _ = stem.split("/")
        with open(self.path / f"{stem}.tar", "wb") as file:
            writer = TarWriter(file)
            for clip, members in clips.items():
                written = [(f, writer.add(f"{clip}.{f}", len(data), io.BytesIO(data))) for f, data in members.items()]
                described = [
                    {"name": f, "offset": m.offset, "size": m.size, "sha256": m.sha256, "key": keys.get((clip, f))}
                    for f, m in written
                ]
                rows.append({"clip_id": clip, "split": split, "signature": signature, "members": described})
            writer.close()
        if index:
            write_rows(self.path / f"{stem}.parquet", "shard", rows)
        if commit:
            self.recommit(stem)

    def recommit(self, stem: str, **changes: Any) -> None:
        """Makes the commit file speak of the files beside it."""
        path = self.path / f"{stem}.commit.json"
        tar, index = self.path / f"{stem}.tar", self.path / f"{stem}.parquet"
        said = json.loads(path.read_text())
        rows = self.rows(stem)
        said["tar"] = {"bytes": tar.stat().st_size, "sha256": sha256_of(tar)}
        said["parquet"] = {"bytes": index.stat().st_size, "sha256": sha256_of(index)}
        said |= {"samples": len(rows), "clip_ids_sha256": clip_ids_sha256(row["clip_id"] for row in rows), **changes}
        path.write_text(Commit.model_validate(said).model_dump_json(indent=2) + "\n")

    def edit_table(self, path: str, table: str, change: Callable[[list[dict[str, Any]]], None]) -> None:
        """Changes a manifest's rows and makes manifests/commit.json right again."""
        rows = pq.read_table(self.path / path).to_pylist()
        change(rows)
        write_rows(self.path / path, table, rows)
        commit = self.path / layout.MANIFEST_COMMIT
        said = json.loads(commit.read_text())
        file = self.path / path
        described = {"bytes": file.stat().st_size, "rows": len(rows), "sha256": sha256_of(file)}
        said["files"][path] = described
        commit.write_text(json.dumps(said))


def edit_caption(members: dict[str, bytes], text: str) -> None:
    """A new caption in the text and in the record, which stays well formed."""
    members["txt"] = text.encode()
    record = json.loads(members["json"])
    record["records"]["caption"]["text"] = text
    members["json"] = json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()
