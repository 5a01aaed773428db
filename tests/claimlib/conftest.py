"""Fixtures of the court's tests."""

import pytest

from tests.claimlib.foreign import Foreign


@pytest.fixture
def foreign(pytester: pytest.Pytester) -> Foreign:
    """A folder with nothing in it."""
    return Foreign(pytester)
