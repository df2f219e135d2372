"""What a stage's fingerprint takes of its models: their own settings and weights, and nothing of those not chosen."""

from __future__ import annotations

import sys

import pytest

from demix.fingerprint import fingerprint
from demix.models import model_class
from demix.models.missing import MissingPackage
from demix.stage import Resources
from demix.stages.demixing import DemixingSettings, DemixingStage


def print_of(**settings: object) -> str:
    stage = DemixingStage(DemixingSettings.model_validate(settings))
    return fingerprint(stage, {"clip_media": "0"})


def test_settings_of_a_model_count_only_where_it_is_chosen() -> None:
    assert print_of() == print_of(cdx23={"shifts": 3})
    assert print_of(three="cdx23") != print_of(three="cdx23", cdx23={"shifts": 3})
    assert print_of() != print_of(three="cdx23")


def test_resources_come_from_the_models() -> None:
    assert DemixingStage(DemixingSettings()).resources == Resources()
    both = DemixingStage(DemixingSettings(three="cdx23", two="spleeter"))
    assert both.resources == Resources(cpus=1, gpus=1.0, pool="demixing")
    assert both.weights() == ("cdx23", "cdx23_ensemble", "spleeter_2stems")


@pytest.mark.parametrize(("role", "name"), [("demix_three", "cdx23"), ("shots", "transnetv2")])
def test_a_package_that_is_not_installed_is_named(role: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    package, extra = model_class(role, name).requires
    monkeypatch.delitem(sys.modules, package, raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingPackage, match=f"{package}.*{extra}"):
        model_class(role, name)
