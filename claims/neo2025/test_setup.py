"""Sections 1 to 3, setup: what the language model receives, and how much of the model it is."""

import pytest

from claimlib import beside_positive_control
from claims.neo2025.architectures import parameters, visual_tokens


@pytest.mark.claim("language-model-share")
def test_the_language_model_holds_almost_all_parameters(trial, architecture):
    counted = parameters(architecture)

    trial.check(trial.claim.rule(counted.language_model_share, unit="%"))


@pytest.mark.claim("visual-token-count")
def test_an_image_becomes_as_many_visual_tokens_as_printed(trial, architecture):
    tokens = visual_tokens(architecture)

    trial.check(trial.claim.rule(tokens, unit="tokens"))


@pytest.mark.claim("visual-norms")
def test_visual_tokens_have_much_higher_norms_than_text_tokens(trial, subject):
    norms = subject.lens.norms

    much_higher = norms["visual"] > trial.claim.parameters["factor"] * norms["text"]

    trial.check(trial.claim.rule(much_higher))


@pytest.mark.claim("mean-token-in-distribution")
def test_the_mean_token_has_a_norm_that_visual_tokens_have(trial, subject):
    norms = subject.lens.norms

    inside = (norms["low"] <= norms["mean"]) & (norms["mean"] <= norms["high"])

    trial.check(trial.claim.rule(inside))


@pytest.mark.claim("adapter-output")
def test_the_adapters_output_does_not_decode_to_the_class(trial, subject):
    lens = subject.lens

    decoded, later = lens.share[:, 0] > 0, lens.best > 0

    verdict = trial.claim.rule(decoded)
    trial.check(beside_positive_control(verdict, later, trial.claim.bounds["margin"]))
