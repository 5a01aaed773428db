"""The errors that bad input raises, and the warning."""


class VLMError(ValueError):
    """Bad input: the message names what was given, what was expected, and what to do."""

    told = True  # in the test of a claim its message stands alone, without a traceback


class ImageError(VLMError):
    """What is wrong with one image: a measurement over many leaves it out and goes on."""


class LackingError(ImageError):
    """What a model, or an image on it, does not have: places of its visual tokens, gradients, as
    many tokens as are asked for. A measurement leaves out the arm that needs it, or the image where
    no arm can be made, and goes on."""

    lacking = True  # the test of a claim that needs it is left out, with the message as the reason


class VLMWarning(UserWarning):
    """What is to be known of a model and is no error, such as that it is slow."""


MOST_BAD = 0.01  # the share of images that may be bad, unless another is asked for


def too_many(bad: int, of: int, share: float = MOST_BAD) -> bool:
    """Whether so many are bad that the others cannot stand for all; one always may be.

    !!! example

        >>> too_many(1, 2), too_many(3, 300), too_many(4, 300)
        (False, False, True)
    """
    return bad > max(1, share * of)
