"""Section 4.1, case study: are numbers on background tokens an artifact of the language model's
processing?"""

import pytest

from claimlib import beside_negative_control, beside_positive_control, where_alive
from claims.neo2025.arms import random


@pytest.mark.claim("numbers-on-background")
def test_numbers_show_up_on_background_tokens(trial, subject):
    trial.check(trial.claim.rule(subject.lens.numbers("last"), subject.lens.numbers("first")))


@pytest.mark.claim("numbers-do-not-matter")
def test_ablating_tokens_that_decode_to_numbers_leaves_the_description(trial, subject):
    numbers, margin = subject.numbers, trial.claim.bounds["margin"]
    verdict = trial.claim.rule(numbers.changed("numbers"), numbers.changed(random("numbers")))
    verdict = beside_positive_control(verdict, numbers.changed("+1 buffer"), margin)
    trial.check(where_alive(verdict, numbers.alive))


@pytest.mark.claim("numbers-persist")
def test_numbers_persist_after_their_tokens_are_ablated(trial, subject):
    numbers, persist = subject.numbers, subject.numbers.persist("numbers")
    verdict = trial.claim.rule(persist)
    verdict = beside_negative_control(verdict, persist, numbers.persist(random("numbers")))
    trial.check(where_alive(verdict, numbers.alive))
