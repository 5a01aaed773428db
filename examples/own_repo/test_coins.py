"""A claim about a coin: no model at all."""

import numpy as np
import pytest


@pytest.mark.claim("bent-coin")
def test_the_coin_shows_heads(trial):
    heads = np.random.default_rng(0).random(200) < 0.7
    trial.check(trial.claim.rule(heads))
