"""A model whose package is not installed."""

from __future__ import annotations

from demix import DISTRIBUTION
from demix.config import ConfigError


class MissingPackage(ConfigError):
    """Names the model, the package and the command that installs it."""

    def __init__(self, model: str, package: str, extra: str):
        super().__init__(
            f"the model {model} needs {package}, which is not installed: run `pip install '{DISTRIBUTION}[{extra}]'` "
            "or choose another model"
        )
