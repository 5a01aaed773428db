"""The one error that bad input raises."""


class VLMError(ValueError):
    """Bad input: the message names what was given, what was expected, and what to do."""

    told = True  # in the test of a claim its message stands alone, without a traceback
