"""Names of parameters as the model's own file knows them, whatever is wrapped around its blocks."""

from __future__ import annotations

_WRAPPERS = ("_checkpoint_wrapped_module.", "_orig_mod.")


def parameter_name(name: str) -> str:
    """Without the parts that activation checkpointing and compilation put in."""
    for wrapper in _WRAPPERS:
        name = name.replace(wrapper, "")
    return name
