"""The one error that bad input raises."""


class ClaimError(ValueError):
    """Bad input: the message names what was given, what was expected, and what to do."""
