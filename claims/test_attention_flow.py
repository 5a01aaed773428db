"""Section 4.2: through which positions does information about the object reach the answer?"""

import pytest

from vlmlib import VQA, Block, select
from vlmlib.statistics import beside_positive_control, negligible


@pytest.mark.claim("last-visual-row-vqa")
def test_blocking_attention_into_the_last_visual_row_has_no_effect(trial, subject):
    def design(stimulus, tokens, _generator):
        row, layers = select.last_row(stimulus), subject.vlm.layers
        region = select.buffer(stimulus, tokens, 1)
        return {
            "I-LVR -> LVR": [Block(select.complement(stimulus, row), to=row, layers=layers)],
            "O+1 -> LTP": [Block(region, to=stimulus.last, layers=layers)],
        }

    lost = subject.lost(VQA, design)

    effect, control = lost["I-LVR -> LVR"], lost["O+1 -> LTP"]
    trial.check(beside_positive_control(negligible(effect.sum(), len(effect), trial.bound), control, trial.bound))
