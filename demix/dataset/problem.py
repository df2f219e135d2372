"""What `verify` says about a file that is not as it should be."""

from __future__ import annotations

from dataclasses import dataclass

REPACK = "delete the shard's .commit.json and run `demix pack`: it is then written anew; or copy it from a good replica"
REMANIFEST = (
    "run `demix pack` again: it writes the manifests anew from the work store; or copy them from a good replica"
)
REBUILD = (
    "the shard and the manifests are of different builds: run `demix pack` again, or copy both from a good replica"
)


@dataclass(frozen=True, order=True)
class Problem:
    file: str
    """Path relative to the dataset; a member of a tar is written `<tar>:<member>`."""
    what: str
    remedy: str
