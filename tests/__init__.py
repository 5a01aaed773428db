"""Shapes in signatures are checked at run time by `checked`, which takes an int for a float, as all
type checkers do (PEP 484)."""

from typing import Any

from beartype import BeartypeConf, beartype

_checked = beartype(conf=BeartypeConf(is_pep484_tower=True))


def checked(function: Any) -> Any:
    """A function that checks its arguments; one inside another stays as it is, since checks of it
    would be made anew at every call, which takes most of the time of simulations."""
    return function if "<locals>" in function.__qualname__ else _checked(function)
