"""Memory for tests."""

import pytest


@pytest.fixture
def memory():
    """Fails a test during which the peak memory of this process grew by 500 MB or more."""
    resource = pytest.importorskip("resource")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000
