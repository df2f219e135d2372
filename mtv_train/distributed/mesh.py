"""The mesh of ranks: (replicate, shard). The model is sharded over the second and copied over the first."""

from __future__ import annotations

from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from demix.config import ConfigError
from mtv_train.distributed.world import World


def make_mesh(world: World, replicate: int = 1) -> DeviceMesh:
    """One dimension "shard" for plain FSDP; two, "replicate" and "shard", for HSDP.

    Neighbouring ranks share a shard group, so that with `replicate` = the number of nodes the heavy traffic stays
    inside a node. Raises `ConfigError` unless `replicate` divides the ranks.
    """
    if world.size % replicate:
        raise ConfigError(f"parallel.replicate={replicate} does not divide the {world.size} ranks")
    kind = world.device.type
    if replicate == 1:
        return init_device_mesh(kind, (world.size,), mesh_dim_names=("shard",))
    return init_device_mesh(kind, (replicate, world.size // replicate), mesh_dim_names=("replicate", "shard"))
