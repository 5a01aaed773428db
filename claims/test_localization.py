"""Section 3: is the information about an object localised to its visual tokens?"""

import pytest

from vlmlib import Ablate, Polling, select
from vlmlib.statistics import beside_negative_control, exceeds


@pytest.mark.claim("object-buffer-polling")
def test_ablating_the_object_with_a_buffer_of_one_takes_away_most_polling_answers(trial, subject):
    def design(stimulus, tokens, generator):
        region = select.buffer(stimulus, tokens, 1)
        elsewhere = select.shape_matched(stimulus, region, generator)
        if elsewhere is None:
            return None
        return {"O+1": [Ablate(region, subject.mean)], "same shape elsewhere": [Ablate(elsewhere, subject.mean)]}

    lost = subject.lost(Polling, design)

    effect, control = lost["O+1"], lost["same shape elsewhere"]
    trial.check(beside_negative_control(exceeds(effect.sum(), len(effect), trial.bound), effect, control))
