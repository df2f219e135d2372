"""Models of the `transformers` library from a folder of files as the hub publishes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from demix.weights import WeightsBroken


def load_strictly(kind: Any, folder: Path, **options: Any) -> Any:
    """`kind.from_pretrained` on a local folder, in evaluation mode: every weight must be there, and no other.

    The library itself would fill what is missing with random numbers. Nothing is asked of the hub. Raises
    `WeightsBroken`.
    """
    from safetensors import SafetensorError

    try:
        model, found = kind.from_pretrained(
            folder, local_files_only=True, output_loading_info=True, trust_remote_code=False, **options
        )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise WeightsBroken(f"{folder}: cannot be read as a {kind.__name__}: {error}") from error
    wrong = {name: sorted(map(str, found[name])) for name in ("missing_keys", "unexpected_keys", "mismatched_keys")}
    for name, keys in wrong.items():
        if keys:
            few = ", ".join(keys[:3])
            raise WeightsBroken(
                f"{folder}: not the weights of a {kind.__name__}: {len(keys)} {name.replace('_', ' ')}, such as {few}"
            )
    return model.eval()
