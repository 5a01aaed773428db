"""Protocols: is what is asked, counted and blocked that of the paper's text, or of its authors'
code?

Oracles: scripted answers, a grid counted pixel by pixel, gradients and a lens written out on the
model's own forward. Fails if a departure of the authors' code is lost, reaches the text's protocol,
or is another than it was seen to be.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from claims.neo2025 import windows
from claims.neo2025.authors import AUTHORS
from claims.neo2025.protocol import TASKS, TEXT, Identification, attributed, attributions_of
from tests.tiny import SIDE, picture, tiny_processor, tiny_qwen, tiny_vlm
from vlmlib import VLM, VQA, Ablate, Block, Description, Polling, Stimulus, VLMError, mean_embedding
from vlmlib.architecture import PHI3_PROMPT
from vlmlib.study import Example, Object

BOTH = {"text": TEXT, "authors": AUTHORS}
FAMILIES = {"llava": tiny_vlm, "qwen": tiny_qwen}
IMAGES = tiny_processor().image_processor
boxes = st.tuples(*[st.integers(0, 29)] * 4)


@pytest.fixture(scope="module", params=FAMILIES)
def vlm(request) -> VLM:
    vlm = FAMILIES[request.param]()
    # ones would hide a norm too many
    vlm.decoder.norm.weight.data.copy_(torch.linspace(0.5, 2, vlm.d_model))
    return vlm


def example(
    mask: np.ndarray, questions=("What is on the bed?",), seed: int = 0, size=(22, 16)
) -> Example:
    """An image whose target is annotated by a mask."""
    target = Object("dog", mask, mask.shape)
    return Example("1", picture(seed, size), [target], "dog", questions)


def outlined(height: int, width: int, *outlines: tuple[float, ...]) -> Example:
    """An image whose target is annotated by polygons."""
    target = Object("dog", [list(map(float, each)) for each in outlines], (height, width))
    return Example("1", picture(), [target], "dog")


def seen(height: int, width: int, grid=(4, 4)) -> Stimulus:
    """An image of a size, as far as finding its tokens goes; its visual tokens begin at position
    3."""
    visual = torch.arange(3, 3 + grid[0] * grid[1])
    length = len(visual) + 5
    embeddings, positions = torch.zeros(length, 2), torch.arange(length)[None]
    return Stimulus("", {}, embeddings, positions, visual, [grid], (height, width), IMAGES)


def cells(stimulus: Stimulus, tokens: torch.Tensor) -> list[int]:
    """Tokens by their place on the grid, row by row."""
    return (tokens - stimulus.visual[0]).tolist()


def box_mask(height: int, width: int, box: tuple[int, int, int, int]) -> np.ndarray:
    mask = np.zeros((height, width), bool)
    top, left, bottom, right = box
    mask[top:bottom, left:right] = True
    return mask


def arms_of(vlm: VLM, stimulus: Stimulus) -> list:
    last = Block(stimulus.visual, to=stimulus.last, layers=vlm.layers)
    return [[], [Ablate(stimulus.visual, torch.ones(vlm.d_model))], [last]]


class Scripted(VLM):
    """Says in each arm what it is told: token after token, the first of them as its most likely
    next one."""

    def says(self, *arms: list[str]) -> "Scripted":
        self.script = [self.processor.tokenizer.convert_tokens_to_ids(arm) for arm in arms]
        return self

    def next_token(self, stimulus, arms, max_tokens=0):
        logits = torch.zeros(len(arms), self.decoder.vocab)
        for row, (first, *_) in zip(logits, self.script, strict=True):
            row[first] = 5.0
        return logits

    def describe(self, stimulus, arms, max_new_tokens=200, until=None, max_tokens=0):
        assert len(arms) == len(self.script)
        assert callable(until)
        decode: Any = self.processor.tokenizer.decode
        said = []
        for tokens in self.script:
            texts = [decode(tokens[:stop]) for stop in range(1, len(tokens[:max_new_tokens]) + 1)]
            said.append(next(filter(until, texts), texts[-1]))
        return said


@pytest.fixture(scope="module")
def scripted() -> Scripted:
    return Scripted(tiny_vlm().model, tiny_processor())


def test_the_two_protocols_go_by_their_names_and_have_the_same_windows():
    assert {name: each.name for name, each in BOTH.items()} == {
        "text": "text",
        "authors": "authors",
    }
    assert TEXT.windows == AUTHORS.windows == windows.RUN
    assert {(each.steps, each.max_new_tokens) for each in BOTH.values()} == {(50, 200)}


@settings(deadline=None, max_examples=60)
@given(points=st.lists(boxes, max_size=3), seed=st.integers(0, 9))
def test_noise_covers_the_masks_bounding_box_and_nothing_else(points, seed):
    mask = np.zeros((30, 33), bool)
    for row, col, *_ in points:
        mask[row, col] = True
    image, shown = picture(seed + 1, (33, 30)), example(mask, seed=seed + 1, size=(33, 30))
    painted = TEXT.painted_out(seen(30, 33), shown, np.random.default_rng(seed))
    expected = np.zeros_like(mask)
    if points:
        rows, cols = [point[0] for point in points], [point[1] for point in points]
        expected[min(rows) : max(rows) + 1, min(cols) : max(cols) + 1] = True
    changed = (np.asarray(painted) != np.asarray(image)).any(-1)
    assert not (changed & ~expected).any()
    assert (changed | ~expected).mean() > 0.99
    assert np.array_equal(np.asarray(shown.image), np.asarray(image))


@settings(deadline=None, max_examples=40)
@given(
    size=st.tuples(st.integers(16, 40), st.integers(16, 40)),
    points=st.lists(boxes, max_size=3),
    seed=st.integers(0, 9),
)
def test_the_authors_noise_fills_the_targets_patches_with_one_tile(size, points, seed):
    """Of the picture that the model sees, and nothing else of it."""
    width, height = size
    mask = np.zeros((height, width), bool)
    for row, col, *_ in points:
        mask[row % height, col % width] = True
    stimulus, shown = seen(height, width), example(mask, seed=seed, size=size)
    painted = AUTHORS.painted_out(stimulus, shown, np.random.default_rng(seed))
    processed = IMAGES(shown.image, do_normalize=False, return_tensors="np")["pixel_values"][0]
    before = (processed.transpose(1, 2, 0) * 255).round().astype(np.uint8)
    assert painted.size == (SIDE, SIDE)
    patches, unpainted = (
        each.reshape(4, 4, 4, 4, 3).swapaxes(1, 2).reshape(16, -1)
        for each in (np.asarray(painted), before)
    )
    targets = cells(stimulus, AUTHORS.object_tokens(stimulus, shown))
    others = [cell for cell in range(16) if cell not in targets]
    assert np.array_equal(patches[others], unpainted[others])
    assert len(np.unique(patches[targets], axis=0)) == min(len(targets), 1)
    if targets:
        tile = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
        assert np.array_equal(patches[targets[0]], tile.ravel())


def test_a_picture_as_the_model_sees_it_is_seen_the_same_again():
    """So that nothing but the noise tells the painted picture from the clean one."""
    vlm, shown = tiny_vlm(), example(np.zeros((30, 41), bool), seed=5, size=(41, 30))
    clean = vlm.read(shown.image, "Hi?")
    unpainted = vlm.read(AUTHORS.painted_out(clean, shown, np.random.default_rng(0)), "Hi?")
    torch.testing.assert_close(unpainted.embeddings, clean.embeddings)


def test_the_authors_paint_on_square_pictures_alone():
    vlm, whole = tiny_qwen(), np.ones((24, 24), bool)
    shown = example(whole, size=(24, 24))
    stimulus = vlm.read(shown.image, "Hi?")
    assert stimulus.grid[0] == stimulus.grid[1]
    with pytest.raises(VLMError, match=r"one square picture.*--vlm-protocol text"):
        AUTHORS.painted_out(stimulus, shown, np.random.default_rng(0))


def test_every_task_asks_the_papers_question_and_vqa_only_where_it_is():
    """VQA asks nothing about an image without a question."""
    nothing = np.zeros((2, 2), bool)
    with_question, without = example(nothing), example(nothing, questions=())
    for protocol in BOTH.values():
        assert protocol.question("generative", without) == Description("dog")
        assert protocol.question("polling", without) == Polling("dog")
        assert protocol.question("VQA", with_question) == VQA("What is on the bed?", "dog")
        assert protocol.question("VQA", without) is None
        with pytest.raises(VLMError, match=r"no task 'vqa'.*generative, polling or VQA"):
            protocol.question("vqa", with_question)


def test_only_the_description_is_requested_in_other_words_by_the_authors(vlm):
    questions = [Description("dog"), Polling("dog"), VQA("What is on the bed?", "dog")]
    prompts = {
        name: [each.read(vlm, q, picture()).prompt for q in questions]
        for name, each in BOTH.items()
    }
    own = [question.read(vlm, picture()).prompt for question in questions]
    assert prompts["text"] == own
    assert prompts["authors"] == [
        own[0].replace("Describe the image.", "Describe this image."),
        *own[1:],
    ]
    assert prompts["authors"][0] != own[0]


@pytest.mark.parametrize(
    "question", [Polling("dog"), VQA("What is on the bed?", "dog")], ids=["polling", "VQA"]
)
def test_the_text_judges_as_the_task_does(vlm, question):
    """With the probability of the right token."""
    stimulus = TEXT.read(vlm, question, picture())
    arms = arms_of(vlm, stimulus)
    logits = vlm.next_token(stimulus, arms)
    token = vlm.first_token(stimulus, "Yes" if isinstance(question, Polling) else "dog")
    said = TEXT.ask(vlm, question, stimulus, arms)
    assert [each.right for each in said] == question.correct(vlm, stimulus, logits).tolist()
    assert [each.probability for each in said] == pytest.approx(
        logits.softmax(-1)[:, token].tolist(), rel=1e-5
    )
    assert [each.text for each in said] == [
        vlm.processor.tokenizer.decode(row.argmax()).strip() for row in logits
    ]
    assert len({each.probability for each in said}) == len(arms)
    assert TEXT.ask(vlm, question, stimulus, [arms[2], arms[0]])[1].probability == pytest.approx(
        said[0].probability
    )


def test_the_texts_right_answers_are_yes_and_the_names_first_piece(scripted):
    polling, vqa = Polling("car"), VQA("What is on the bed?", "car")
    stimulus, asked = (TEXT.read(scripted, question, picture()) for question in (polling, vqa))
    scripted.says(["▁Yes"], ["yes"], ["▁No"], ["▁car"])
    said: list[Any] = TEXT.ask(scripted, polling, stimulus, [[]] * 4)
    assert [each.right for each in said] == [True, True, False, False]
    assert said[0].probability > said[1].probability == said[2].probability
    scripted.says(["▁car"], ["▁ca"], ["▁"], ["▁Yes"])
    said = TEXT.ask(scripted, vqa, asked, [[]] * 4)
    assert [each.right for each in said] == [True, False, False, False]
    assert said[0].probability > said[1].probability == said[2].probability


@pytest.mark.parametrize("protocol", BOTH.values(), ids=BOTH)
def test_a_description_is_right_if_it_names_the_category_in_200_tokens(protocol, scripted):
    """And it ends there."""
    question = Description("car")
    stimulus = protocol.read(scripted, question, picture())
    filler = ["a"] * 199
    scripted.says(
        [*filler, "▁car"], [*filler, "a", "▁car"], ["▁truck"], ["▁hot", "c", "a", "r", "▁truck"]
    )
    said = protocol.ask(scripted, question, stimulus, [[]] * 4)
    assert [each.right for each in said] == [True, False, False, True]
    assert [each.text for each in said] == ["a" * 199 + " car", "a" * 200, "truck", "hotcar"]
    assert {each.probability for each in said} == {None}


@pytest.mark.parametrize("protocol", BOTH.values(), ids=BOTH)
def test_a_description_is_as_long_as_the_protocol_lets_it_be(protocol, scripted):
    question, filler = Description("car"), ["a"] * 3
    stimulus = protocol.read(scripted, question, picture())
    scripted.says([*filler, "▁car"], [*filler, "a", "▁car"])
    said = replace(protocol, max_new_tokens=4).ask(scripted, question, stimulus, [[]] * 2)
    assert [each.text for each in said] == ["aaa car", "aaaa"]


def test_a_description_is_what_the_model_says(vlm):
    question = Description("no such thing")
    stimulus = TEXT.read(vlm, question, picture(4))
    arms = arms_of(vlm, stimulus)[:2]
    said = TEXT.ask(vlm, question, stimulus, arms)
    assert [each.text for each in said] == vlm.describe(stimulus, arms, 200)
    assert not any(each.right for each in said)


def test_the_authors_code_looks_for_yes_anywhere_in_ten_tokens(scripted):
    question = Polling("dog")
    stimulus = AUTHORS.read(scripted, question, picture())
    ninth, tenth = ["a"] * 9, ["a"] * 10
    scripted.says(["▁No", "▁Yes"], [*ninth, "yes"], [*tenth, "yes"], ["e", "yes"], ["▁No"])
    said = AUTHORS.ask(scripted, question, stimulus, [[]] * 5)
    assert [each.right for each in said] == [True, True, False, True, False]


def test_the_authors_code_takes_any_beginning_of_the_names_first_piece(scripted):
    """For right; nothing at all is one, too."""
    question = VQA("What is on the bed?", "car")
    stimulus = AUTHORS.read(scripted, question, picture())
    scripted.says(["▁car"], ["▁ca"], ["c"], ["▁"], ["a"], ["▁carr"], ["▁truck"])
    said = AUTHORS.ask(scripted, question, stimulus, [[]] * 7)
    assert [each.right for each in said] == [True, True, True, True, False, False, False]
    assert said[3].text == ""
    assert not any(each.right for each in TEXT.ask(scripted, question, stimulus, [[]] * 7)[1:])


@pytest.mark.parametrize(
    "question", [Polling("dog"), VQA("What is on the bed?", "dog")], ids=["polling", "VQA"]
)
def test_the_authors_probability_is_that_of_what_the_clean_run_says(vlm, question):
    stimulus = AUTHORS.read(vlm, question, picture())
    arms = arms_of(vlm, stimulus)
    probabilities = vlm.next_token(stimulus, arms).softmax(-1)
    said = [each.probability for each in AUTHORS.ask(vlm, question, stimulus, arms)]
    assert said == pytest.approx(probabilities[:, probabilities[0].argmax()].tolist(), rel=1e-5)
    assert said[0] == pytest.approx(float(probabilities[0].max()))
    assert said != pytest.approx(
        [each.probability for each in TEXT.ask(vlm, question, stimulus, arms)]
    )


def test_the_authors_polling_is_of_the_models_own_ten_tokens(vlm):
    question = Polling("dog")
    stimulus = AUTHORS.read(vlm, question, picture())
    arms = arms_of(vlm, stimulus)
    texts = vlm.describe(stimulus, arms, 10)
    said = AUTHORS.ask(vlm, question, stimulus, arms)
    assert [each.right for each in said] == ["yes" in text.lower() for text in texts]


def plain_contributions(
    vlm: VLM, stimulus: Stimulus, span: int, target: int, mean, fractions
) -> torch.Tensor:
    """Integrated gradients over the visual tokens and `span` more, one forward of the model's own
    stack per step."""
    end = int(stimulus.visual[-1]) + 1
    at = [*stimulus.visual.tolist(), *range(end, end + span)]
    here, total = stimulus.embeddings[at], torch.zeros(len(at), vlm.d_model)
    for fraction in fractions:
        point = (mean + fraction * (here - mean)).requires_grad_()
        embeddings = stimulus.embeddings.index_put((torch.tensor(at),), point)[None]
        output = vlm.model.model.language_model(
            inputs_embeds=embeddings, position_ids=stimulus.position_ids
        )
        logit = (output.last_hidden_state[0, -1] @ vlm.model.lm_head.weight.T)[target]
        total += torch.autograd.grad(logit, point)[0]
    return (here - mean) * total / len(fractions)


QUESTIONS = {"text": "Is there a dog in the image?", "authors": "Is there a dog in this image?"}
NOTHING = np.zeros((16, 22), bool)


@pytest.mark.parametrize("steps", [50, 6])
def test_the_texts_attributions_are_signed_gradients_of_yes(vlm, steps):
    """Integrated over 50 midpoints, or as many steps as the protocol has."""
    mean, stimulus = mean_embedding(vlm, [picture(1)]), vlm.read(picture(), QUESTIONS["text"])
    yes = vlm.first_token(stimulus, "Yes")
    fractions = [(step + 0.5) / steps for step in range(steps)]
    expected = plain_contributions(vlm, stimulus, 0, yes, mean, fractions).sum(-1)
    protocol = TEXT if steps == 50 else replace(TEXT, steps=steps)
    found = protocol.attributions(vlm, stimulus, mean)
    scale = float(expected.abs().max())
    torch.testing.assert_close(torch.tensor(found), expected, rtol=1e-3, atol=1e-4 * scale)
    assert min(found) < 0 < max(found)


@pytest.mark.parametrize("steps", [50, 6])
def test_the_authors_attributions_are_absolute_and_one_position_longer(vlm, steps):
    """Of the first id of "Yes", over points that include both ends."""
    mean, stimulus = mean_embedding(vlm, [picture(1)]), vlm.read(picture(), QUESTIONS["authors"])
    target = vlm.processor.tokenizer("Yes")["input_ids"][0]
    fractions = [step / (steps - 1) for step in range(steps)]
    expected = plain_contributions(vlm, stimulus, 1, target, mean, fractions).abs().sum(-1)
    protocol = AUTHORS if steps == 50 else replace(AUTHORS, steps=steps)
    found = protocol.attributions(vlm, stimulus, mean)
    assert len(found) == len(stimulus.visual) + 1
    atol = 1e-4 * float(expected.max())
    torch.testing.assert_close(torch.tensor(found), expected, rtol=1e-3, atol=atol)


def test_gradients_say_the_image_in_the_text_and_this_image_in_the_code():
    vlm = tiny_vlm()
    for name, protocol in BOTH.items():
        for task in ("", "VQA"):
            stimulus = protocol.asked_for_gradients(vlm, example(NOTHING), task)
            assert stimulus.prompt == vlm.read(picture(), QUESTIONS[name]).prompt
    assert (TEXT.vqa_gradients, AUTHORS.vqa_gradients) == (False, True)


def test_the_authors_take_llava_phis_vqa_gradients_on_vqas_own_prompt():
    """Which is the one model in Phi-3's prompt; of all other tasks the question is the same."""
    vlm, shown = VLM(tiny_vlm().model, tiny_processor(), PHI3_PROMPT), example(NOTHING)
    polled = vlm.read(picture(), QUESTIONS["authors"]).prompt
    own = AUTHORS.asked_for_gradients(vlm, shown, "VQA").prompt
    assert own == VQA("What is on the bed?", "dog").read(vlm, picture()).prompt
    assert own.endswith("It is a")
    assert AUTHORS.asked_for_gradients(vlm, shown).prompt == polled
    text = TEXT.asked_for_gradients(vlm, shown, "VQA").prompt
    assert text == vlm.read(picture(), QUESTIONS["text"]).prompt


def test_gradients_of_a_task_are_those_of_its_prompt(vlm):
    """Whatever the protocol."""
    mean, shown = mean_embedding(vlm, [picture(1)]), example(NOTHING)
    for protocol in (replace(TEXT, steps=2), replace(AUTHORS, steps=2)):
        [row] = attributed(vlm, mean, shown, protocol)
        asked = protocol.asked_for_gradients(vlm, shown)
        assert row.detail == protocol.attributions(vlm, asked, mean)


def test_attributions_that_nobody_computed_are_asked_for_by_their_name():
    known = example(NOTHING).knowing(attributions=[0.5, -1.0])
    assert attributions_of(known) == [0.5, -1.0]
    with pytest.raises(VLMError, match=r"integrated gradients on image 1, which .*`ablations`"):
        attributions_of(example(NOTHING))


@pytest.mark.parametrize("protocol", BOTH.values(), ids=BOTH)
@pytest.mark.parametrize("task", TASKS)
def test_identification_asks_what_its_protocol_asks(vlm, protocol, task):
    asked, image = Identification(task, protocol), example(NOTHING)
    question = protocol.question(task, image)
    stimulus: Any = asked.read(vlm, image)
    arms = arms_of(vlm, stimulus)
    assert asked.name == task
    assert stimulus.prompt == protocol.read(vlm, question, picture()).prompt
    assert asked.ask(vlm, image, stimulus, arms) == protocol.ask(vlm, question, stimulus, arms)


def test_identification_reads_nothing_where_there_is_no_question(vlm):
    assert Identification("VQA", TEXT).read(vlm, example(NOTHING, questions=())) is None


def test_the_first_id_of_yes_is_what_the_tokenizer_begins_with():
    """The begin-of-sequence token, where it adds one."""
    first = {name: make().processor.tokenizer for name, make in FAMILIES.items()}
    assert first["llava"].encode("Yes")[0] == first["llava"].bos_token_id
    assert first["qwen"].decode(first["qwen"].encode("Yes")[0]) == "Yes"


@given(
    scores=st.lists(st.floats(-1, 1, width=32), min_size=17, max_size=17, unique=True),
    k=st.integers(0, 16),
)
def test_the_most_attributed_tokens_have_the_largest_scores(scores, k):
    """Of all that the protocol ranks."""
    stimulus = seen(16, 16)
    for protocol, count in ((TEXT, 16), (AUTHORS, 17)):
        place = sorted(range(count), key=lambda each: -scores[each])[:k]
        chosen = protocol.most_attributed(stimulus, scores[:count], k)
        assert chosen.tolist() == sorted(3 + each for each in place)
        assert torch.equal(
            protocol.most_attributed(stimulus, scores[:count], torch.arange(k)), chosen
        )


def test_the_authors_code_alone_may_select_the_position_past_the_image():
    stimulus = seen(16, 16)
    scores = [float(each) for each in range(17)]
    assert AUTHORS.most_attributed(stimulus, scores, 2).tolist() == [18, 19]
    assert stimulus.visual[-1] == 18
    with pytest.raises(VLMError, match="17"):
        TEXT.most_attributed(stimulus, scores, 2)


def test_where_the_grid_does_not_divide_the_side_the_authors_drifts():
    stimulus = seen(22, 22)  # patches of 5 pixels, where 5.5 would fill the side
    far = example(box_mask(22, 22, (20, 20, 22, 22)))
    assert cells(stimulus, AUTHORS.object_tokens(stimulus, far)) == []
    assert cells(stimulus, TEXT.object_tokens(stimulus, far)) == [15]
    # of pixels 15 and 16; the fourth patch begins at 15, or at 16.5
    edge = example(box_mask(22, 22, (0, 15, 5, 17)))
    assert cells(stimulus, AUTHORS.object_tokens(stimulus, edge)) == [3]
    assert cells(stimulus, TEXT.object_tokens(stimulus, edge))[0] == 2


@settings(deadline=None, max_examples=200)
@given(
    height=st.integers(4, 30),
    width=st.integers(4, 30),
    side=st.integers(1, 4),
    points=st.lists(boxes, max_size=6),
)
def test_the_authors_tokens_are_those_whose_pixels_hold_any_of_a_mask(height, width, side, points):
    """Of a run-length mask, in whole pixels."""
    mask = np.zeros((height, width), bool)
    for row, col, *_ in points:
        mask[row % height, col % width] = True
    stimulus = seen(height, width, (side, side))
    crop = min(height, width)
    top, left, patch = (height - crop) // 2, (width - crop) // 2, crop // side
    expected = set()
    for row in range(crop):
        for col in range(crop):
            if mask[top + row, left + col] and row // patch < side and col // patch < side:
                expected.add(row // patch * side + col // patch)
    found = AUTHORS.object_tokens(stimulus, example(mask))
    assert cells(stimulus, found) == sorted(expected)


@settings(deadline=None, max_examples=60)
@given(mask=arrays(bool, (16, 20)), upright=st.booleans())
def test_where_no_pixel_is_resized_both_protocols_see_the_same_tokens(mask, upright):
    mask = mask.T if upright else mask
    stimulus = seen(*mask.shape)
    text, authors = (each.object_tokens(stimulus, example(mask)).tolist() for each in BOTH.values())
    assert text == authors


@settings(deadline=None, max_examples=60)
@given(corners=boxes, scale=st.integers(2, 4), aligned=st.booleans())
def test_where_the_grid_divides_the_side_they_differ_by_thin_tokens(corners, scale, aligned):
    """By those alone of which no pixel is half covered."""
    side, unit = scale * SIDE, 4 * scale if aligned else 1
    bounds = np.array(corners) % side // unit * unit
    (top, left), (bottom, right) = np.sort(bounds.reshape(2, 2), axis=0).tolist()
    mask = box_mask(side, side, (top, left, bottom, right))
    stimulus = seen(side, side)
    text, authors = (
        set(each.object_tokens(stimulus, example(mask)).tolist()) for each in BOTH.values()
    )
    assert text <= authors
    if aligned:
        assert text == authors
    for token in authors - text:
        row, col = divmod(token - 3, 4)
        rows, cols = (slice(4 * scale * each, 4 * scale * (each + 1)) for each in (row, col))
        shares = mask[rows, cols].reshape(4, scale, 4, scale).mean((1, 3))
        # of a pixel after resizing, whose filter reaches a little further than its own area
        assert shares.max() < 0.7


def test_a_polygon_loses_its_corners_outside_the_crop():
    stimulus = seen(16, 24)  # columns 4 to 19 stay
    reaching_out = outlined(16, 24, (2, 2, 13, 2, 13, 11, 2, 11))
    assert cells(stimulus, TEXT.object_tokens(stimulus, reaching_out)) == [
        *(0, 1, 2),
        *(4, 5, 6),
        *(8, 9, 10),
    ]
    # the two corners left are the ends of a line at column 9 of the crop
    assert cells(stimulus, AUTHORS.object_tokens(stimulus, reaching_out)) == [2, 6, 10]


def test_polygons_inside_the_crop_fill_their_tokens_together():
    stimulus = seen(16, 24)
    first, second = (4, 0, 7, 0, 7, 3, 4, 3), (13, 9, 18, 9, 18, 14, 13, 14)
    one, both = outlined(16, 24, first), outlined(16, 24, first, second)
    assert cells(stimulus, AUTHORS.object_tokens(stimulus, one)) == [0]
    assert cells(stimulus, AUTHORS.object_tokens(stimulus, both)) == [0, 10, 11, 14, 15]


@pytest.mark.parametrize(
    "corners", [(0, 0, 23, 0, 23, 15), (0, 0, 3, 0, 12, 12)], ids=["no corner", "one corner"]
)
def test_of_a_polygon_with_too_few_corners_in_the_crop_nothing_is_left(corners):
    """With fewer than two."""
    stimulus, cut = seen(16, 24), outlined(16, 24, corners)
    assert len(TEXT.object_tokens(stimulus, cut)) > 0
    assert len(AUTHORS.object_tokens(stimulus, cut)) == 0


def test_grids_that_are_no_squares_are_refused_by_the_authors_alone():
    stimulus = tiny_qwen().read(picture(), "Hi?")
    assert stimulus.grid == (2, 3)
    whole = example(np.ones((16, 22), bool))
    assert len(TEXT.object_tokens(stimulus, whole)) == 6
    with pytest.raises(VLMError, match=r"square grids.*--vlm-protocol text"):
        AUTHORS.object_tokens(stimulus, whole)


def test_an_image_smaller_than_the_grid_is_refused_with_its_size():
    with pytest.raises(VLMError, match=r"9 x 3 pixels.*--vlm-protocol text"):
        AUTHORS.object_tokens(seen(3, 9), example(np.ones((3, 9), bool)))


@pytest.mark.parametrize("ablating", [False, True], ids=["clean", "ablated"])
def test_the_authors_lens_norms_the_last_layer_twice(vlm, ablating):
    """Before it is the text's."""
    stimulus = vlm.read(picture(), "Describe the image.")
    value = torch.linspace(-1, 1, vlm.d_model)
    arm = [Ablate(stimulus.visual[:2], value)] if ablating else []
    token = vlm.first_token(stimulus, "dog")
    both: list[Any] = [each.lens(vlm, stimulus, token, arm) for each in BOTH.values()]
    text, authors = both
    for name in ("top_ids", "top_probabilities", "rank", "probability"):
        assert torch.equal(getattr(text, name)[:-1], getattr(authors, name)[:-1])
    assert authors.tokens == text.tokens == tuple(stimulus.visual.tolist())

    embeddings = stimulus.embeddings.clone()
    if ablating:
        embeddings[stimulus.visual[:2]] = value
    stack = vlm.model.model.language_model
    read = stack(inputs_embeds=embeddings[None], position_ids=stimulus.position_ids)
    once = read.last_hidden_state[0]
    eps = vlm.decoder.norm.variance_epsilon
    twice = stack.norm.weight * once / (once.pow(2).mean(-1, keepdim=True) + eps).sqrt()
    for lens, hidden in ((text, once), (authors, twice)):
        logits = hidden[stimulus.visual] @ vlm.model.lm_head.weight.T
        expected = logits.softmax(-1)
        torch.testing.assert_close(lens.probability[-1], expected[:, token], rtol=1e-4, atol=1e-7)
        torch.testing.assert_close(
            lens.top_probabilities[-1][:, 0], expected.max(-1).values, rtol=1e-4, atol=1e-7
        )
        assert torch.equal(lens.top_ids[-1][:, 0], logits.argmax(-1))
        assert torch.equal(lens.rank[-1], (logits > logits[:, [token]]).sum(-1))
    assert not torch.allclose(text.probability[-1], authors.probability[-1], rtol=1e-4)
