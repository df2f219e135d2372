"""pyannote.audio's pipeline out of its folder, without running anything that the folder says.

The package's own loader unpickles what lies there and imports what `config.yaml` names: a folder of a stranger could
have it run anything. Here weights are read inert, networks are looked up among the package's own and filled strictly,
and the pipeline is the one that the package has for diarization.
"""

from __future__ import annotations

import importlib
import inspect
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from demix.config import ConfigError
from demix.models.missing import MissingPackage
from demix.weights import WeightsBroken
from demix.weights.inert import Placeholder, read_inert

_CLASS = "SpeakerDiarization"
_NETWORKS = "pyannote.audio.models."
"""Where the package keeps its networks."""
_ACTING = {"segmentation", "embedding", "plda", "token", "cache_dir"}
"""Parameters of the pipeline that stand for files, or for a hub."""


def make_pipeline(folder: Path) -> Any:
    """The pipeline of `folder`, as `Pipeline.from_pretrained(folder)` makes it, on the CPU.

    Raises `MissingPackage` without pyannote.audio, `ConfigError` for a folder that holds no such pipeline, and
    `WeightsBroken` for weights that are damaged or of another network.
    """
    # Before the import: the package would report its use otherwise.
    os.environ["PYANNOTE_METRICS_ENABLED"] = "0"
    try:
        from pyannote.audio.core.plda import PLDA
        from pyannote.audio.pipelines import SpeakerDiarization
    except ImportError as error:
        raise MissingPackage("pyannote", "the package pyannote.audio", "pyannote") from error
    config = read_config(folder)
    options = config["pipeline"]["params"]
    made = SpeakerDiarization(
        segmentation=network(folder / "segmentation/pytorch_model.bin"),
        embedding=network(folder / "embedding/pytorch_model.bin"),
        plda=PLDA(folder / "plda/xvec_transform.npz", folder / "plda/plda.npz"),
        **{name: value for name, value in options.items() if name not in _ACTING},
    )
    return made.instantiate(config.get("params") or made.default_parameters())


def read_config(folder: Path) -> Mapping[str, Any]:
    """`config.yaml`. Raises `ConfigError` where it asks for more than the package's diarization and plain values."""
    path = folder / "config.yaml"
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
        name, options = config["pipeline"]["name"], config["pipeline"]["params"]
        plain = {key: value for key, value in options.items() if key not in _ACTING}
    except OSError as error:
        raise ConfigError(f"{folder}: no pipeline of pyannote.audio (config.yaml is missing)") from error
    except (yaml.YAMLError, UnicodeDecodeError, LookupError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path}: not the configuration of a pipeline of pyannote.audio ({error})") from error
    if not str(name).startswith("pyannote.audio.pipelines.") or str(name).rpartition(".")[2] != _CLASS:
        raise ConfigError(f"{path}: asks for {name}; what is known here is pyannote.audio's {_CLASS}")
    if acting := [key for key, value in plain.items() if not isinstance(value, str | int | float | bool)]:
        raise ConfigError(f"{path}: pipeline.params.{acting[0]} is no plain value; get the folder from its publisher")
    if config.get("preprocessors"):
        raise ConfigError(f"{path}: preprocessors are not used here; get the folder from its publisher")
    return dict(config)


def network(path: Path) -> Any:
    """A network of the package, filled strictly from a checkpoint of Lightning. Raises `WeightsBroken`."""
    from pyannote.audio.core.model import Model

    checkpoint = read_inert(path)
    try:
        facts = checkpoint["pyannote.audio"]
        module, name = (str(facts["architecture"][part]) for part in ("module", "class"))
        asked, state = dict(checkpoint["hyper_parameters"]), dict(checkpoint["state_dict"])
        specifications = _specifications(facts["specifications"])
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise WeightsBroken(f"{path}: no checkpoint of pyannote.audio ({error})") from error
    kind: Any = getattr(importlib.import_module(module), name, None) if module.startswith(_NETWORKS) else None
    if not (inspect.isclass(kind) and issubclass(kind, Model)):
        raise WeightsBroken(f"{path}: {module}.{name} is no network of pyannote.audio")
    known = inspect.signature(kind.__init__).parameters
    made: Any = kind(**{key: value for key, value in asked.items() if key in known})
    made.on_load_checkpoint({"pyannote.audio": {"specifications": specifications}})  # makes the last layers
    try:
        # What a loss learnt while training is of no use here.
        made.load_state_dict({key: value for key, value in state.items() if not key.startswith("loss_func.")})
    except RuntimeError as error:
        raise WeightsBroken(f"{path}: {error}") from error
    return made.eval()


def _specifications(given: Any) -> Any:
    """What a network was trained for: one specification, or several, from what stands for them."""
    from pyannote.audio.core.task import Problem, Resolution, Specifications

    if isinstance(given, list | tuple):
        return tuple(_specifications(one) for one in given)
    enums = {"problem": Problem, "resolution": Resolution}
    fields = {
        name: enums[name](value.arguments[0]) if name in enums and isinstance(value, Placeholder) else value
        for name, value in given.state.items()
        if name in Specifications.__dataclass_fields__
    }
    return Specifications(**fields)
