"""Section 4.1: what do visual tokens decode to, layer by layer?"""

import pytest

from claimlib import beside_negative_control
from claims.neo2025.lexicon import load_lexicon, names


@pytest.mark.claim("late-layers-name-the-class")
def test_the_objects_tokens_decode_to_its_class(trial, subject):
    lens = subject.lens
    trial.check(trial.claim.rule(lens.best, lens.absent_best))


@pytest.mark.claim("lens-share")
def test_the_share_that_decodes_to_the_class_is_the_printed_one(trial, subject, printed):
    lens = subject.lens
    verdict = trial.claim.rule(lens.best_total, printed.lens.best_total)
    trial.check(beside_negative_control(verdict, lens.best, lens.absent_best))


@pytest.mark.claim("lens-best-layer")
def test_the_best_layer_is_the_printed_one(trial, subject, printed):
    lens = subject.lens
    verdict = trial.claim.rule(lens.best_depth, printed.lens.best_depth.value)
    trial.check(beside_negative_control(verdict, lens.best, lens.absent_best))


@pytest.mark.claim("best-layer-mid-to-late")
def test_the_best_layer_is_mid_to_late(trial, subject):
    lens = subject.lens
    verdict = trial.claim.rule(lens.best_depth)
    trial.check(beside_negative_control(verdict, lens.best, lens.absent_best))


@pytest.mark.claim("alignment-grows")
def test_alignment_with_the_class_grows_along_the_layers(trial, subject):
    lens = subject.lens
    verdict = trial.claim.rule(lens.share, range(lens.states))
    trial.check(beside_negative_control(verdict, lens.share.mean(1), lens.absent_share.mean(1)))


@pytest.mark.claim("qwen-lower")
def test_qwen_decodes_to_the_class_less_than_llava(trial, subject):
    trial.check(trial.claim.rule(subject.lens.best))


@pytest.mark.claim("qwen-early")
def test_early_layers_of_qwen_decode_to_the_class(trial, subject):
    lens = subject.lens
    early = slice(0, int(trial.claim.parameters["depth"] * lens.states) + 1)
    trial.check(trial.claim.rule(lens.share[:, early].any(1), lens.absent_share[:, early].any(1)))


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
    verdict = trial.claim.rule(lens.auc[:, layer])
    trial.check(beside_negative_control(verdict, lens.auc[:, layer], lens.absent_auc[:, layer]))
