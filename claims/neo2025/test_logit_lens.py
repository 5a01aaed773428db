"""Section 4.1: what do visual tokens decode to, layer by layer?"""

import pytest

from claimlib import beside_negative_control, in_every_setting
from claims.neo2025.lexicon import load_lexicon, names


def of_the_object(verdict, lens):
    """A verdict on a lens that says the class of the object's tokens, more than an absent class,
    and more than of background tokens."""
    for pair in lens.controls():
        verdict = beside_negative_control(verdict, *pair)
    return verdict


@pytest.mark.claim("late-layers-name-the-class")
def test_the_objects_tokens_decode_to_its_class(trial, subject):
    of_object, absent, background = (
        subject.lens.late(name, trial.claim.parameters["depth"])
        for name in ("share", "absent_share", "background_share")
    )
    verdicts = {
        "over an absent class": trial.claim.rule(of_object, absent),
        "over background tokens": trial.claim.rule(of_object, background),
    }
    trial.check(in_every_setting(verdicts))


@pytest.mark.claim("lens-share")
def test_the_share_that_decodes_to_the_class_is_the_printed_one(trial, subject, printed):
    lens = subject.lens
    trial.check(of_the_object(trial.claim.rule(lens.best, printed.lens.share), lens))


@pytest.mark.claim("lens-best-layer")
def test_the_best_layer_is_the_printed_one(trial, subject, printed):
    lens = subject.lens
    verdict = trial.claim.rule(lens.best_depth, printed.lens.best_depth.value)
    trial.check(of_the_object(verdict, lens))


@pytest.mark.claim("best-layer-mid-to-late")
def test_the_best_layer_is_mid_to_late(trial, subject):
    lens = subject.lens
    trial.check(of_the_object(trial.claim.rule(lens.best_depth), lens))


@pytest.mark.claim("alignment-grows")
def test_alignment_with_the_class_grows_along_the_layers(trial, subject):
    lens = subject.lens
    verdict = trial.claim.rule(lens.share, range(lens.states))
    trial.check(of_the_object(verdict, lens))


@pytest.mark.claim("qwen-lower")
def test_qwen_decodes_to_the_class_less_than_llava(trial, subjects):
    llava, qwen = (each.lens for each in subjects)
    verdict = trial.claim.rule(llava.best, qwen.best)
    trial.check(of_the_object(of_the_object(verdict, llava), qwen))


@pytest.mark.claim("qwen-early")
def test_early_layers_of_qwen_decode_to_the_class(trial, subject):
    lens, depth = subject.lens, trial.claim.parameters["depth"]
    verdict = trial.claim.rule(lens.early("share", depth), lens.early("absent_share", depth))
    for pair in lens.controls(depth):
        verdict = beside_negative_control(verdict, *pair)
    trial.check(verdict)


@pytest.mark.claim("more-specific")
def test_tokens_decode_to_words_more_specific_than_the_class(trial, subject):
    lexicon = load_lexicon()
    found, control = subject.lens.naming(
        lambda category, word: names(word, lexicon[category].specific)
    )
    trial.check(trial.claim.rule(found, control))


@pytest.mark.claim("other-languages")
def test_tokens_decode_to_the_class_in_other_languages(trial, subject):
    lexicon = load_lexicon()
    found, control = subject.lens.naming(
        lambda category, word: names(word, lexicon[category].other_languages)
    )
    trial.check(trial.claim.rule(found, control))


@pytest.mark.claim("coarse-segmentation")
def test_a_lens_map_tells_the_object_from_the_rest(trial, subject):
    lens = subject.lens
    layer = round(trial.claim.parameters["depth"] * (lens.states - 1))
    auc, control = lens.auc.point(layer), lens.absent_auc.point(layer)
    trial.check(beside_negative_control(trial.claim.rule(auc), auc, control))
