"""Libraries that take seconds to import, imported when they are first used.

What is only declared, planned or asked about a model needs no network. So a module that declares one is cheap to
import: it writes `cv2: Any = lazy_module("cv2")`, or, where the library has types,

    if TYPE_CHECKING:
        import torch
    else:
        torch = lazy_module("torch")

and uses it inside functions only. (`importlib.util.LazyLoader` enters such a module into `sys.modules` at once, and
other libraries that look there whether it is loaded would load it.)
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any


class _Lazy(ModuleType):
    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(self.__name__), name)


def lazy_module(name: str) -> Any:
    """The module of this name, which is imported when an attribute of it is asked for."""
    return _Lazy(name)
