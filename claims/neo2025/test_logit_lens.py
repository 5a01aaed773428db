"""Section 4.1: what do visual tokens decode to, layer by layer?"""

import pytest

from claimlib.controls import beside_negative_control
from claimlib.curves import increases_along, mean_within
from claimlib.shares import agrees, exists, greater
from claims.neo2025.lexicon import load_lexicon, names

PRINTED_BEST = 25.7 / 32  # LLaVA-1.5's best layer, as a share of the depth


@pytest.mark.claim("late-layers-name-the-class")
def test_the_objects_tokens_decode_to_its_class(trial, subject):
    lens = subject.lens
    trial.check(greater(lens.best, lens.absent_best))


@pytest.mark.claim("lens-share")
def test_the_share_that_decodes_to_the_class_is_the_printed_one(trial, subject, printed):
    lens = subject.lens
    verdict = agrees(lens.best_total, printed.lens.best_total, trial.claim.bounds["margin"])
    trial.check(beside_negative_control(verdict, lens.best, lens.absent_best))


@pytest.mark.claim("lens-best-layer")
def test_the_best_layer_is_the_printed_one(trial, subject, printed):
    lens, expected, margin = (
        subject.lens,
        printed.lens.best_depth.value,
        trial.claim.bounds["margin"],
    )
    verdict = mean_within(
        lens.best_depth, expected - margin, expected + margin, bounds=(0, 1), level=0.90
    )
    trial.check(beside_negative_control(verdict, lens.best, lens.absent_best))


@pytest.mark.claim("best-layer-mid-to-late")
def test_the_best_layer_is_mid_to_late(trial, subject):
    lens = subject.lens
    verdict = mean_within(
        lens.best_depth, trial.claim.bounds["low"], trial.claim.bounds["high"], bounds=(0, 1)
    )
    trial.check(beside_negative_control(verdict, lens.best, lens.absent_best))


@pytest.mark.claim("alignment-grows")
def test_alignment_with_the_class_grows_along_the_layers(trial, subject):
    lens = subject.lens
    verdict = increases_along(lens.share, range(lens.states))
    trial.check(beside_negative_control(verdict, lens.share.mean(1), lens.absent_share.mean(1)))


@pytest.mark.claim("qwen-lower")
def test_qwen_decodes_to_the_class_less_than_llava(trial, subject):
    trial.check(
        mean_within(
            subject.lens.best, trial.claim.bounds["low"], trial.claim.bounds["high"], bounds=(0, 1)
        )
    )


@pytest.mark.claim("qwen-early")
def test_early_layers_of_qwen_decode_to_the_class(trial, subject):
    lens = subject.lens
    early = slice(0, lens.states // 4 + 1)
    found, control = lens.share[:, early].any(1), lens.absent_share[:, early].any(1)
    trial.check(exists(found, control, trial.claim.bounds["at_least"]))


@pytest.mark.claim("more-specific")
def test_tokens_decode_to_words_more_specific_than_the_class(trial, subject):
    lexicon = load_lexicon()
    found, control = subject.lens.naming(
        lambda category, word: names(word, lexicon[category].specific)
    )
    trial.check(exists(found, control, trial.claim.bounds["at_least"]))


@pytest.mark.claim("other-languages")
def test_tokens_decode_to_the_class_in_other_languages(trial, subject):
    lexicon = load_lexicon()
    found, control = subject.lens.naming(
        lambda category, word: names(word, lexicon[category].other_languages)
    )
    trial.check(exists(found, control, trial.claim.bounds["at_least"]))


@pytest.mark.claim("coarse-segmentation")
def test_a_lens_map_tells_the_object_from_the_rest(trial, subject):
    lens = subject.lens
    layer = round(PRINTED_BEST * (lens.states - 1))
    verdict = mean_within(
        lens.auc[:, layer], trial.claim.bounds["low"], trial.claim.bounds["high"], bounds=(0, 1)
    )
    trial.check(beside_negative_control(verdict, lens.auc[:, layer], lens.absent_auc[:, layer]))
