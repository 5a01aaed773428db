"""The court: samples in, verdicts out.

    from claimlib import Totals, exceeds

    print(exceeds(Totals(422, 488), threshold=0.5))

Rules take samples and hand back a `Verdict`; claims are data in a claims.toml; a pytest plugin
holds the one against the other. A name is imported when it is first asked for, since pytest imports
the plugin in every run.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from claimlib.cases import Case
    from claimlib.claims import Claim, Paper, Subject, Trial, load_claims
    from claimlib.controls import (
        beside_another,
        beside_negative_control,
        beside_positive_control,
        where_alive,
    )
    from claimlib.curves import above_another, band, increases, near, peaks, within, within_factor
    from claimlib.errors import ClaimError, ClaimRefuted, ClaimUndecided, ClaimWarning
    from claimlib.figures import Figure
    from claimlib.kinds import KINDS, Kind
    from claimlib.paired import greater, minor, no_more
    from claimlib.samples import Clustered, Mean, Totals, pooled
    from claimlib.shares import agrees, exceeds, exists, negligible
    from claimlib.tables import repeats, reproduces
    from claimlib.verdicts import (
        Outcome,
        Verdict,
        counted_above,
        counted_equal,
        in_every_setting,
    )

_MODULES = {
    "cases": ("Case",),
    "claims": ("Claim", "Paper", "Subject", "Trial", "load_claims"),
    "controls": (
        "beside_another",
        "beside_negative_control",
        "beside_positive_control",
        "where_alive",
    ),
    "curves": ("above_another", "band", "increases", "near", "peaks", "within", "within_factor"),
    "errors": ("ClaimError", "ClaimRefuted", "ClaimUndecided", "ClaimWarning"),
    "figures": ("Figure",),
    "kinds": ("KINDS", "Kind"),
    "paired": ("greater", "minor", "no_more"),
    "samples": ("Clustered", "Mean", "Totals", "pooled"),
    "shares": ("agrees", "exceeds", "exists", "negligible"),
    "tables": ("repeats", "reproduces"),
    "verdicts": (
        "Outcome",
        "Verdict",
        "counted_above",
        "counted_equal",
        "in_every_setting",
    ),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "KINDS",
    "Case",
    "Claim",
    "ClaimError",
    "ClaimRefuted",
    "ClaimUndecided",
    "ClaimWarning",
    "Clustered",
    "Figure",
    "Kind",
    "Mean",
    "Outcome",
    "Paper",
    "Subject",
    "Totals",
    "Trial",
    "Verdict",
    "above_another",
    "agrees",
    "band",
    "beside_another",
    "beside_negative_control",
    "beside_positive_control",
    "counted_above",
    "counted_equal",
    "exceeds",
    "exists",
    "greater",
    "in_every_setting",
    "increases",
    "load_claims",
    "minor",
    "near",
    "negligible",
    "no_more",
    "peaks",
    "pooled",
    "repeats",
    "reproduces",
    "where_alive",
    "within",
    "within_factor",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
