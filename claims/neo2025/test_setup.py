"""Sections 1 to 3, setup: what the language model receives, and how much of the model it is."""

from dataclasses import replace

import pytest

from claimlib import beside_another, beside_negative_control, greater
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
    trial.check(trial.claim.rule(subject.lens.norms_above(trial.claim.parameters["factor"])))


@pytest.mark.claim("mean-token-in-distribution")
def test_the_mean_token_has_a_norm_and_direction_that_visual_tokens_have(trial, subject):
    trial.check(trial.claim.rule(subject.lens.mean_inside))


@pytest.mark.claim("adapter-output")
def test_the_adapters_output_does_not_decode_to_the_class(trial, subject):
    lens = subject.lens
    decoded, later, absent = lens.whole
    seen = greater(later, absent, margin=trial.claim.bounds["margin"])
    verdict = trial.claim.rule(decoded)
    for pair in lens.controls():
        verdict = beside_negative_control(verdict, *pair)
    trial.check(beside_another(verdict, seen, "the class in later layers"))


@pytest.mark.claim("object-area")
def test_the_objects_cover_as_much_of_the_image_as_printed(trial, subject):
    trial.check(trial.claim.rule(subject.areas, unit="%"))


@pytest.mark.claim("lens-object-area")
def test_the_objects_of_the_lens_cover_as_much_as_printed(trial, subject):
    trial.check(trial.claim.rule(subject.lens.areas, trial.claim.parameters["share"]))


@pytest.mark.claim("images-left")
def test_as_many_images_are_left_as_printed(trial, subject):
    left = subject.ablations.yields["generative"]
    verdict = trial.claim.rule(left["filter 2"], unit="images")
    trial.check(replace(verdict, control=f"after filter 1 alone {left['filter 1']}"))
