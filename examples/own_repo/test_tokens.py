"""A claim about a model: half of its visual tokens are enough."""

import pytest

from claimlib import beside_positive_control
from vlmlib import Ablate
from vlmlib.study import polling


def half_and_all(scene):
    visual = scene.stimulus.visual
    return {"half": [Ablate(visual[::2], scene.mean)], "all": [Ablate(visual, scene.mean)]}


@pytest.mark.claim("every-other-token")
def test_half_of_the_tokens_suffice(trial, bench, examples):
    table = bench.measure(examples, polling, half_and_all)
    half, all_ = table.pair("polling", "half", "all")
    verdict = trial.claim.rule(half)
    trial.check(beside_positive_control(verdict, all_, trial.claim.bounds["margin"]))
