"""Shapes in signatures are checked at run time by `checked`, which takes an int for a float, as all
type checkers do (PEP 484)."""

from beartype import BeartypeConf, beartype

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
