"""Claims of a paper's folder by their tests, and how one comes out on a study that is made up."""

import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

from claimlib import Claim, ClaimRefuted, ClaimUndecided, Outcome, Subject, Trial

CLAIM = re.compile(r'@pytest\.mark\.claim\("([^"]+)"\)\ndef (test_\w+)')


def by_claim(module: ModuleType) -> dict[str, Callable[..., None]]:
    """By claim the test of it, of which a module has no other ones."""
    code = Path(str(module.__file__)).read_text()
    found = CLAIM.findall(code)
    assert len(found) == len({claim for claim, _ in found})
    assert len(found) == len(re.findall(r"^def test_", code, flags=re.MULTILINE))
    return {claim: getattr(module, name) for claim, name in found}


def outcome_of(claim: Claim, test: Callable[..., None], study: Any) -> Outcome:
    """What the test makes of a claim on a study."""
    trial = Trial(claim, Subject("planted"))
    with suppress(ClaimRefuted, ClaimUndecided):
        test(trial, study)
    return trial.verdicts[-1].outcome
