"""Settings are strict, and say what is wrong where."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demix.config import ConfigError, Settings, merge, parse_assignment, read_yaml, reference, validate


class Engine(Settings):
    workers: int = 2
    """Processes."""


class Root(Settings):
    engine: Engine = Engine()
    silence_db: float = -45.0
    """Level in dBFS | below it is silence."""


def test_an_unknown_key_is_an_error_that_names_the_nearest():
    with pytest.raises(ConfigError, match=r"engine\.worker: no such setting; did you mean workers\?"):
        validate(Root, {"engine": {"worker": 3}})


def test_every_problem_is_listed_at_once():
    with pytest.raises(ConfigError, match="2 problem") as error:
        validate(Root, {"silence_db": "loud", "engine": {"workers": "many"}})
    assert "silence_db" in str(error.value)
    assert "engine.workers" in str(error.value)


@pytest.mark.parametrize("text", ["a", "=3", "a.b=[1", ""])
def test_an_assignment_that_is_none_is_refused(text):
    with pytest.raises(ConfigError, match="--set"):
        parse_assignment(text)


def test_values_of_assignments_are_read_as_yaml():
    assert parse_assignment("demixing.silence_db=-50") == {"demixing": {"silence_db": -50}}
    assert parse_assignment("a.b=[x, 1]") == {"a": {"b": ["x", 1]}}


@pytest.mark.parametrize(("content", "says"), [("- a", "mapping"), ("a: [", "YAML"), (None, "cannot be read")])
def test_a_broken_file_is_named(tmp_path, content, says):
    path = tmp_path / "my.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=f"my.yaml.*{says}"):
        read_yaml(path)


# As in settings, a name is a group or a value everywhere: layers do not disagree about that.
values = st.dictionaries(st.sampled_from("ab"), st.integers())
mappings = st.deferred(
    lambda: st.builds(lambda plain, groups: {**plain, **groups}, values, st.dictionaries(st.sampled_from("CD"), inner))
)
inner = values | mappings


@given(mappings, mappings, mappings)
def test_layers_may_be_merged_in_any_grouping(first, second, third):
    assert merge(merge(first, second), third) == merge(first, merge(second, third)) == merge(first, second, third)


@given(mappings, mappings)
def test_merging_changes_no_layer(first, second):
    before = repr((first, second))
    merged = merge(first, second)
    merged.setdefault("a", {})
    if isinstance(merged["a"], dict):
        merged["a"]["new"] = 1
    assert repr((first, second)) == before


def test_the_reference_names_every_setting_with_default_and_meaning():
    text = reference(Root)
    assert "| `engine.workers` | int | `2` | Processes. |" in text
    assert r"Level in dBFS \| below it is silence." in text
