"""The tiny model, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from mtv_train.sample.model_folder import load_pipeline
from mtv_train.sample.pipeline import MTVPipeline
from tests.mtv_train.sample.making import write_model


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session")
def loaded(model: Path) -> MTVPipeline:
    pipeline = load_pipeline(model)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
