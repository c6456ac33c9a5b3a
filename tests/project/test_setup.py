"""What setup.py accepts is what make tests: lowest versions, and versions of Python."""

import importlib.metadata
import pathlib
import re

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = pathlib.Path(__file__).parents[2]
LOCKED = dict(
    line.split("==")
    for line in (ROOT / "constraints" / "lowest.txt").read_text().splitlines()
    if not line.startswith("#")
)
# Of the extras that go with the lowest TensorFlow.
BOUNDS = [
    requirement
    for requirement in map(Requirement, importlib.metadata.requires("keras-temporal-reg"))
    if requirement.marker is None
    or any(requirement.marker.evaluate({"extra": extra}) for extra in ("dev", "all", "addons"))
]


@pytest.mark.parametrize("requirement", BOUNDS, ids=lambda requirement: requirement.name)
def test_each_lower_bound_is_what_is_tested(requirement):
    locked = LOCKED[canonicalize_name(requirement.name)]
    (lowest,) = (bound.version for bound in requirement.specifier if bound.operator in (">=", "=="))
    assert f"{locked}.".startswith(f"{lowest.removesuffix('.*')}.")


def test_the_bounds_are_found():
    assert {"tensorflow", "numpy", "h5py", "av", "tensorflow-addons", "pytest"} <= {
        requirement.name for requirement in BOUNDS
    }


def test_python_versions_are_those_that_make_tests():
    makefile = (ROOT / "Makefile").read_text()
    (settings,) = re.findall(r"^PYTHON \?= (.*)\n(?:.*\n)*?PYTHONS \?= (.*)$", makefile, flags=re.M)
    tested = re.findall(r"python(3\.\d+)", " ".join(settings))
    about = importlib.metadata.metadata("keras-temporal-reg")
    versions = [c.rpartition(" ")[2] for c in about.get_all("Classifier") if ":: 3." in c]
    assert about["Requires-Python"] == f">={tested[0]}"
    assert versions == tested
