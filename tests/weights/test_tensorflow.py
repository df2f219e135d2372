"""TensorFlow checkpoints are read byte for byte without TensorFlow; a damaged one is refused and named."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demix.weights import WeightsBroken
from demix.weights.tensorflow import read_bundle, read_index
from tests.models.vectors import Vector
from tests.weights.bundles import write_bundle

NAMES = st.text("abcd/_019", min_size=1, max_size=12)
SHAPES = st.lists(st.integers(0, 4), max_size=4).map(tuple)
KINDS = st.sampled_from(["<f4", "<f8", "<i4", "<i8"])


@settings(max_examples=40, deadline=None)
@given(
    variables=st.dictionaries(NAMES, st.tuples(SHAPES, KINDS), max_size=20),
    per_block=st.integers(1, 7),
    restart=st.integers(1, 5),
)
def test_what_is_written_comes_back(
    tmp_path_factory: pytest.TempPathFactory, variables: dict, per_block: int, restart: int
) -> None:
    folder = tmp_path_factory.mktemp("bundle")
    random = np.random.default_rng(0)
    arrays = {name: (100 * random.standard_normal(shape)).astype(kind) for name, (shape, kind) in variables.items()}
    write_bundle(folder, arrays, per_block, restart)
    found = read_bundle(folder / "model.index", folder / "model.data-00000-of-00001")
    assert list(found) == sorted(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        assert np.array_equal(found[name], array)
        assert found[name].shape == array.shape


def test_the_index_that_tensorflow_wrote(tmp_path: Path, shared_vectors: Path) -> None:
    """All names, shapes, offsets and sizes of Spleeter 2stems, which equal the released ones."""
    (tmp_path / "model.index").write_bytes(
        Vector(shared_vectors, "spleeter_tf_bundle").outputs["index_bytes"].tobytes()
    )
    found = read_index(tmp_path / "model.index")
    shapes = {name: tuple(shape) for name, shape in Vector(shared_vectors, "spleeter_2stems").facts["keys"].items()}
    assert {name: variable.shape for name, variable in found.items()} == shapes
    assert len(found) == 149
    ends = sorted((variable.offset, variable.offset + variable.size) for variable in found.values())
    assert [begin for begin, _ in ends] == [0, *(end for _, end in ends[:-1])]
    assert ends[-1][1] == 78_614_080


@pytest.mark.parametrize(
    "spoil", [lambda c: b"", lambda c: c[:-1], lambda c: c[:60] + c[-48:], lambda c: c[:-8] + b"x" * 8]
)
def test_a_damaged_index_is_refused(tmp_path: Path, spoil: Callable[[bytes], bytes]) -> None:
    write_bundle(tmp_path, {f"layer_{n}/kernel": np.ones((2, 3), np.float32) for n in range(9)})
    index = tmp_path / "model.index"
    index.write_bytes(spoil(index.read_bytes()))
    with pytest.raises(WeightsBroken, match=r"model\.index: not the index"):
        read_index(index)


@settings(max_examples=60, deadline=None)
@given(place=st.integers(0, 400), value=st.integers(0, 255))
def test_no_byte_makes_it_fail_otherwise(tmp_path_factory: pytest.TempPathFactory, place: int, value: int) -> None:
    """Any changed byte gives arrays of declared shapes, or the one error."""
    folder = tmp_path_factory.mktemp("bundle")
    write_bundle(folder, {f"layer_{n}/kernel": np.ones((2, 3), np.float32) for n in range(9)})
    index = folder / "model.index"
    content = bytearray(index.read_bytes())
    content[place % len(content)] = value
    index.write_bytes(bytes(content))
    with suppress(WeightsBroken):
        read_bundle(index, folder / "model.data-00000-of-00001")


def test_a_data_file_that_ends_early_is_refused(tmp_path: Path) -> None:
    write_bundle(tmp_path, {"a": np.ones((20, 3), np.float32)})
    data = tmp_path / "model.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:-1])
    with pytest.raises(WeightsBroken, match="ends at 239 bytes, a at 240"):
        read_bundle(tmp_path / "model.index", data)
