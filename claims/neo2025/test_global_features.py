"""Section 4.1, case study: are numbers on background tokens an artifact of the language model's
processing?"""

import pytest

from claimlib import beside_positive_control


@pytest.mark.claim("numbers-on-background")
def test_numbers_show_up_on_background_tokens(trial, subject):
    lens = subject.lens
    trial.check(trial.claim.rule(lens.numbers > 0, lens.first_numbers > 0))


@pytest.mark.claim("numbers-do-not-matter")
def test_ablating_tokens_that_decode_to_numbers_leaves_the_description(trial, subject):
    changed = subject.numbers.changed
    verdict = trial.claim.rule(changed["numbers"])
    control, margin = changed["+1 buffer"], trial.claim.bounds["margin"]
    trial.check(beside_positive_control(verdict, control, margin))


@pytest.mark.claim("numbers-persist")
def test_numbers_persist_after_their_tokens_are_ablated(trial, subject):
    trial.check(trial.claim.rule(subject.numbers.persist))
