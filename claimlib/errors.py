"""What goes wrong, and how a claim may end."""


class ClaimError(ValueError):
    """Bad input: the message names what was given, what was expected, and what to do."""

    told = True  # in the test of a claim its message stands alone, without a traceback


class ClaimRefuted(AssertionError):  # noqa: N818, an outcome and no error
    """A measurement refutes a claim. Nothing else in this project raises it."""


class ClaimUndecided(Exception):  # noqa: N818, an outcome and no error
    """A measurement neither supports nor refutes a claim."""


class ClaimWarning(UserWarning):
    """A file about claims says something that no longer holds."""
