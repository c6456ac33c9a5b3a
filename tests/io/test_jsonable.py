"""Results become JSON that any reader accepts; the oracle is the json module, strict."""

import dataclasses
import json
from pathlib import Path

import pytest

from keras_temporal_reg.io import jsonable


@dataclasses.dataclass(frozen=True)
class Result:
    output: Path
    measures: dict
    sizes: tuple


RESULT = Result(Path("a") / "b", {1: float("nan"), "psnr": 2.5}, (3, True, None, float("inf")))
JSON = {
    "output": str(Path("a") / "b"),
    "measures": {"1": None, "psnr": 2.5},
    "sizes": [3, True, None, None],
}


def test_nan_and_infinity_become_null():
    text = json.dumps(jsonable.as_json([RESULT]), allow_nan=False)
    assert json.loads(text) == [JSON]


def test_a_file_has_the_same(tmp_path):
    jsonable.write(tmp_path / "result.json", RESULT)
    assert json.loads((tmp_path / "result.json").read_text()) == JSON


def test_a_failure_leaves_the_old_file(tmp_path):
    path = tmp_path / "result.json"
    jsonable.write(path, RESULT)
    with pytest.raises(TypeError):
        jsonable.write(path, {"first": 1, "second": object()})
    assert json.loads(path.read_text()) == JSON
