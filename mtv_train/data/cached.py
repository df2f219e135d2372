"""What was precomputed, read back for one window at a time."""

from __future__ import annotations


class Caches:
    """The parts that `DataSettings.cached` names, of the models with these revisions."""
