"""The tasks: do they ask in the paper's words, in each family's prompt, and is right what the text
says is right?

Fails if a question or a prompt is off by a character, if a name within a longer name or word counts
as a word, or if a description is cut before it is certain what it names. The oracle for words cuts
the text into words and counts.
"""

import re

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import AddedToken

from tests.tiny import byte_level_tokenizer, picture, tiny_processor, tiny_qwen, tiny_vlm
from vlmlib import VLM, VQA, Polling, VLMError
from vlmlib.tasks import Description


def phi3(swallowing: bool = True, template: str | None = None) -> VLM:
    """A LLaVA whose tokenizer knows Phi-3's turns, which may swallow the line end after them."""
    model, processor = tiny_vlm().model, tiny_processor()
    turns = [
        AddedToken(each, rstrip=swallowing, normalized=False, special=True)
        for each in ("<|user|>", "<|end|>", "<|assistant|>")
    ]
    processor.tokenizer.add_special_tokens({"additional_special_tokens": ["<image>", *turns]})
    processor.chat_template = template
    model.resize_token_embeddings(len(processor.tokenizer), mean_resizing=False)
    return VLM(model, processor)


FAMILIES = {
    "LLaVA-1.5": (tiny_vlm, "USER: <image>\n{} ASSISTANT:", " "),
    "LLaVA-Phi-3": (phi3, "<|user|>\n<image>{}<|end|>\n<|assistant|>\n", ""),
    "Qwen2-VL": (
        tiny_qwen,
        "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>{}<|im_end|>\n<|im_start|>assistant\n",
        "",
    ),
}


@pytest.mark.parametrize(("family", "prompt", "space"), FAMILIES.values(), ids=FAMILIES.keys())
def test_every_task_is_asked_in_the_familys_prompt_and_the_papers_words(family, prompt, space):
    vlm = family()
    asked = {
        Description("dog"): prompt.format("Describe the image."),
        Polling("traffic light"): prompt.format("Is there a traffic light in this image?"),
        VQA("What is on the bed?", "dog"): prompt.format("What is on the bed?") + space + "It is a",
        VQA("What is on the bed?", "dog", prefill=""): prompt.format("What is on the bed?"),
    }
    for task, expected in asked.items():
        stimulus = task.read(vlm, picture())
        assert stimulus.prompt == expected
        once = vlm.processor.tokenizer(expected)["input_ids"]
        image = vlm.model.config.image_token_id
        assert [each for each in stimulus.input_ids.tolist() if each != image] == [
            each for each in once if each != image
        ]


TEMPLATES = {"none": None, "with a line end": "{turn}\n", "without one": "{turn}"}


@pytest.mark.slow
@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES)
@pytest.mark.parametrize(
    ("swallowing", "pieces"),
    [(True, ["▁It", "▁is", "▁a"]), (False, ["▁", "<0x0A>", "I", "t", "▁is", "▁a"])],
    ids=["swallowed", "kept"],
)
def test_no_space_stands_between_phi_3s_line_end_and_it_is_a(swallowing, pieces, template):
    """Whatever the checkpoint's own chat template, and whether its tokenizer keeps the line end,
    whose own piece ("▁" and a byte) begins any text after a turn."""
    turn = "<|user|>\n<image>{{ messages[0].content[1].text }}<|end|>\n<|assistant|>"
    vlm = phi3(swallowing, template and template.replace("{turn}", turn))
    task = VQA("What is on the bed?", "dog")
    stimulus = task.read(vlm, picture())
    assert stimulus.prompt.endswith("<|end|>\n<|assistant|>\nIt is a")
    tokenizer = vlm.processor.tokenizer
    shown = tokenizer.convert_ids_to_tokens(stimulus.input_ids.tolist())
    assert shown[shown.index("<|assistant|>") + 1 :] == pieces
    assert tokenizer.convert_ids_to_tokens(vlm.first_token(stimulus, "dog")) == "▁do"


@pytest.mark.parametrize("ending", [":", ": ", ":\n"])
def test_llava_1_5s_it_is_a_has_one_space_before_it_whatever_its_template(ending):
    processor = tiny_processor()
    processor.chat_template = "USER: <image>\n{{ messages[0].content[1].text }} ASSISTANT" + ending
    vlm = VLM(tiny_vlm().model, processor)
    stimulus = VQA("What is on the bed?", "dog").read(vlm, picture())
    assert stimulus.prompt.endswith("bed? ASSISTANT: It is a")
    shown = processor.tokenizer.convert_ids_to_tokens(stimulus.input_ids.tolist())
    assert shown[-4:] == [":", "▁It", "▁is", "▁a"]


def logits_for(vlm, *pieces: str) -> torch.Tensor:
    ids = vlm.processor.tokenizer.convert_tokens_to_ids(list(pieces))
    return torch.nn.functional.one_hot(
        torch.tensor(ids), vlm.model.config.text_config.vocab_size
    ).float()


def test_an_answer_to_polling_is_yes_or_no_or_neither(vlm):
    """An answer to polling is yes or no in any case and spacing or neither."""
    said = logits_for(vlm, "▁Yes", "yes", "▁No", "NO", "▁book", "▁", "</s>")
    expected = ["yes", "yes", "no", "no", "neither", "neither", "neither"]
    assert (
        Polling("dog").answers(vlm, said)
        == Polling("dog", present=False).answers(vlm, said)
        == expected
    )
    assert Polling("dog").answers(vlm, said[:0]) == []


def test_an_answer_to_polling_may_begin_with_a_space():
    vlm = tiny_qwen()
    assert Polling("dog").answers(vlm, logits_for(vlm, "ĠYes", "Yes", "No", "Ċ")) == [
        "yes",
        "yes",
        "no",
        "neither",
    ]


@pytest.mark.parametrize(
    ("present", "right"),
    [(True, [True, True, False, False, False]), (False, [False, False, True, True, False])],
)
def test_polling_is_right_with_yes_where_present_and_no_where_absent(vlm, present, right):
    """Polling is right with yes where present and no where absent and never with neither."""
    said = logits_for(vlm, "▁Yes", "yes", "▁No", "NO", "▁book")
    assert (
        Polling("dog", present).correct(vlm, Polling("dog").read(vlm, picture()), said).tolist()
        == right
    )


def test_vqa_wants_the_first_piece_of_the_answer(vlm):
    """VQA wants the first piece of the answer and an empty piece is never right."""
    task = VQA("What is on the bed?", "traffic light")
    said = logits_for(vlm, "▁traffic", "▁light", "▁", "</s>")
    assert task.correct(vlm, task.read(vlm, picture()), said).tolist() == [
        True,
        False,
        False,
        False,
    ]


def test_vqa_takes_an_empty_piece_for_no_answer(vlm):
    """VQA takes an empty piece for no answer even where the answer begins with one."""
    task = VQA("What is on the bed?", "漢")
    stimulus = task.read(vlm, picture())
    said = logits_for(vlm, "▁")
    assert vlm.first_token(stimulus, task.answer) == said.argmax()
    assert task.correct(vlm, stimulus, said).tolist() == [False]


def test_vqa_wants_a_space_after_a_word_and_none_after_a_line_end():
    """VQA after a line end wants the piece without a space and after a word the one with it."""
    vlm = tiny_qwen()
    for prefill, right in (("", [True, False]), ("It is a", [False, True])):
        task = VQA("What is on the bed?", "book", prefill)
        stimulus = task.read(vlm, picture())
        first = [
            byte_level_tokenizer()("book")["input_ids"][0],
            byte_level_tokenizer()(" book")["input_ids"][0],
        ]
        said = torch.nn.functional.one_hot(
            torch.tensor(first), vlm.model.config.text_config.vocab_size
        ).float()
        assert task.correct(vlm, stimulus, said).tolist() == right


NAMES = ("bear", "teddy bear", "dog", "hot dog", "cat", "tie", "fire hydrant")


@pytest.mark.parametrize(
    ("category", "text", "verbatim", "word"),
    [
        ("bear", "A bear.", True, True),
        ("bear", "bear", True, True),
        ("bear", "A teddy bear.", True, False),
        ("bear", "A teddy bear and a bear", True, True),
        ("bear", "A bear and a teddy bear", True, True),
        ("teddy bear", "A teddy bear.", True, True),
        ("teddy bear", "A steddy bear.", True, False),
        ("bear", "A steddy bear.", True, True),
        ("teddy bear", "A teddy, a bear.", False, False),
        ("dog", "A hot dog", True, False),
        ("dog", "A hot, dog-like cat", True, True),
        ("bear", "A man with a beard", True, False),
        ("bear", "Two bears", True, False),
        ("bear", "The bear's nose", True, True),
        ("cat", "A scatter of stones", True, False),
        ("tie", "Three ties_tie", True, False),
        ("dog", "Dog days, a DOG", False, True),
        ("dog", "A HOT DOG", False, False),
        ("dog", "", False, False),
        ("fire hydrant", "A fire  hydrant", False, False),
    ],
)
def test_a_description_names_a_category_verbatim_or_as_a_word(category, text, verbatim, word):
    assert Description(category).correct([text]).tolist() == [verbatim]
    assert Description(category, NAMES, "word").correct([text]).tolist() == [word]


def test_without_other_names_a_word_is_a_word():
    assert Description("bear", match="word").correct(["teddy bear", "beard"]).tolist() == [
        True,
        False,
    ]


def test_a_name_is_no_pattern():
    assert Description("t.v", match="word").correct(["a tav", "a t.v"]).tolist() == [False, True]


def test_each_arm_is_judged_by_its_own_text_and_no_arm_by_none():
    assert Description("dog").correct(["a dog", "a cat", "dogs"]).tolist() == [True, False, True]
    assert Description("dog").correct([]).shape == (0,)


def named_by_counting(category: str, text: str) -> bool:
    """Of every stretch of whole words, the longest name that ends with each word."""
    words = [(found.start(), found.end()) for found in re.finditer(r"\w+", text)]
    last = {}
    for start, _ in words:
        for _, end in words:
            stretch = text[start:end].lower()
            if stretch in NAMES and len(stretch) > len(last.get(end, "")):
                last[end] = stretch
    return category in last.values()


PARTS = st.sampled_from(
    [
        *NAMES,
        *(name.upper() for name in NAMES),
        "ted",
        "hot",
        "d",
        "s",
        "é",
        " ",
        " ",
        " ",
        ".",
        "-",
    ]
)
TEXTS = st.lists(PARTS, max_size=12).map("".join)
TASKS = [Description(name, NAMES, match) for name in NAMES for match in ("verbatim", "word")]


@given(text=TEXTS)
@example("a teddy bear")
@example("a hot dog. dog")
def test_a_word_is_named_where_the_longest_name_that_ends_there_is_it(text):
    for name in NAMES:
        assert Description(name, NAMES, "word").correct([text]).tolist() == [
            named_by_counting(name, text)
        ]


@given(text=TEXTS)
@example("a beard")
@example("a bear ")
@example("bear")
def test_what_is_decided_at_any_point_is_what_the_whole_text_names(text):
    for task in TASKS:
        decided = [task.decided(text[:stop]) for stop in range(len(text) + 1)]
        right = task.correct([text]).item()
        assert decided == sorted(decided), "once decided, always decided"
        assert right or not any(decided)
        ended = text[: decided.index(True)] if any(decided) else text
        assert task.correct([ended]).item() == right


@given(text=TEXTS)
def test_a_description_ends_as_soon_as_it_is_certain(text):
    for task in TASKS:
        if task.correct([text]).item():  # a word is certain once anything follows that ends it
            assert task.decided(text + ("" if task.match == "verbatim" else "."))


def test_a_word_waits_for_what_ends_it_and_a_verbatim_name_for_nothing():
    verbatim, word = Description("bear"), Description("bear", NAMES, "word")
    texts = ["a bea", "a bear", "a beard", "a bear,", "a teddy bear,"]
    assert [verbatim.decided(text) for text in texts] == [False, True, True, True, True]
    assert [word.decided(text) for text in texts] == [False, False, False, True, False]


def test_half_a_letter_does_not_end_a_word():
    tokenizer = byte_level_tokenizer()
    ids = tokenizer("a bearé")["input_ids"]
    half, whole = "a bear\ufffd", "a bearé"
    assert (tokenizer.decode(ids[:-1]), tokenizer.decode(ids)) == (half, whole)
    task = Description("bear", NAMES, "word")
    assert not task.decided(half)
    assert not task.correct([whole]).item()


@pytest.mark.slow
@pytest.mark.parametrize("match", ["verbatim", "word"])
def test_a_description_that_ends_early_is_judged_like_the_whole_one(vlm, match):
    """The random model's own words serve as categories."""
    whole = vlm.describe(Description("anything").read(vlm, picture(2)), [[]], max_new_tokens=30)[0]
    words = sorted(set(re.findall(r"\w+", whole)))
    assert words
    shorter = 0
    for word in [*words, "absent"]:
        task = Description(word, words, match)
        stimulus = task.read(vlm, picture(2))
        ended = vlm.describe(stimulus, [[]], max_new_tokens=30, until=task.decided)
        assert whole.startswith(ended[0].rstrip("\ufffd"))
        assert task.correct(ended).tolist() == task.correct([whole]).tolist() == [word != "absent"]
        shorter += ended[0] != whole
    assert shorter


def test_another_way_to_match_is_refused():
    with pytest.raises(VLMError, match=r'match \'stem\'\. Ask for "verbatim" or "word"'):
        Description("dog", match="stem")
