"""How a model is asked in its chat template: begun once, whoever writes the token that begins.

Oracle: the ids that the processor itself makes of a conversation, and how often each begins, by
hand. Fails if the begin-of-sequence token is lost where the tokenizer does not add it, doubled
where it does, or taken out of the middle; and if a text is asked that is read otherwise.
"""

import pytest
import torch
from tokenizers import models, pre_tokenizers, processors

from fixtures.emoji_llava.architecture import Sizes, llava
from tests.tiny import picture, tiny_processor, tiny_qwen, tiny_vlm
from vlmlib import VLM, VLMError
from vlmlib.architecture import PHI3_PROMPT, PHI3_TOKENS, VICUNA_PROMPT
from vlmlib.prompts import written_after

QUESTION = "Is there a dog in this image?"
BODY = "user <image>{{ messages[0].content[1].text }} bot "
MODEL = tiny_vlm().model
SIZES = Sizes(width=16, mlp=32, layers=2, heads=2)


def processor_of(added: str, template: str):
    """A processor whose tokenizer adds special tokens around a text `$A`."""
    processor = tiny_processor()
    tokenizer = processor.tokenizer
    begin, end = (tokenizer.convert_tokens_to_ids(each) for each in ("<s>", "</s>"))
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=added, special_tokens=[("<s>", begin), ("</s>", end)]
    )
    processor.chat_template = template
    return processor


def ids_of_conversation(processor, image) -> list[int]:
    content = [{"type": "image", "image": image}, {"type": "text", "text": QUESTION}]
    return processor.apply_chat_template(
        [{"role": "user", "content": content}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    )["input_ids"][0].tolist()


# What the tokenizer adds, how the template begins, and where the ids begin a sequence.
BEGINNINGS = {
    "added and written": ("<s> $A", "{{ bos_token }}", 1, 0),
    "added alone": ("<s> $A", "", 1, 0),
    "written alone": ("$A", "{{ bos_token }}", 1, 0),
    "neither": ("$A", "", 0, 0),
    "added and written twice": ("<s> $A", "<s><s>", 2, 0),
    "written twice": ("$A", "<s><s>", 2, 0),
    "added, and written in the middle": ("<s> $A", "one <s>", 1, 1),
    "written in the middle": ("$A", "one <s>", 0, 1),
    "all of it": ("<s> $A", "{{ bos_token }}one <s>", 1, 1),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("added", "written", "first", "later"), BEGINNINGS.values(), ids=BEGINNINGS
)
def test_a_text_begins_as_its_conversation_does(added, written, first, later):
    processor = processor_of(added, written + BODY)
    stimulus = VLM(MODEL, processor).read(picture(), QUESTION)
    ids, begin = stimulus.input_ids.tolist(), processor.tokenizer.bos_token_id
    assert ids == ids_of_conversation(processor, picture())
    assert [each == begin for each in ids[: first + 1]] == [True] * first + [False]
    assert ids.count(begin) == first + later


def test_a_tokenizer_without_a_token_that_begins_is_read_as_it_is():
    processor = processor_of("$A", "{{ bos_token }}" + BODY)
    processor.tokenizer.bos_token = None
    vlm = VLM(MODEL, processor)
    assert vlm.prompt == "user <image>{question} bot "
    ids = vlm.read(picture(), QUESTION).input_ids.tolist()
    assert ids == ids_of_conversation(processor, picture())


def test_a_half_of_a_processor_reads_its_conversation():
    vlm = tiny_qwen()
    ids = vlm.read(picture(), QUESTION).input_ids.tolist()
    assert ids == ids_of_conversation(vlm.processor, picture())


def test_an_answer_follows_a_text_that_begins_itself():
    """Its first token is that after the same text without the beginning."""
    begun = VLM(MODEL, processor_of("$A", "{{ bos_token }}" + BODY))
    added = VLM(MODEL, processor_of("<s> $A", "{{ bos_token }}" + BODY))
    one, other = (each.read(picture(), QUESTION) for each in (begun, added))
    assert torch.equal(one.input_ids, other.input_ids)
    assert begun.first_token(one, "Yes") == added.first_token(other, "Yes")


def test_a_text_that_is_read_otherwise_is_refused_with_the_first_id():
    """A tokenizer that ends each text ends no conversation whose template begins it."""
    processor = processor_of("$A </s>", "{{ bos_token }}" + BODY)
    message = r"read as '</s>' \(2\) at position \d+, where .* for nothing.* prompt="
    with pytest.raises(VLMError, match=message):
        VLM(MODEL, processor)
    VLM(MODEL, processor, prompt="user <image>{question} bot ")
    assert VLM(MODEL, processor_of("$A </s>", BODY)).prompt == "user <image>{question} bot "


def test_a_template_that_takes_text_alone_is_told():
    processor = processor_of("$A", "{{ 'user ' + messages[0].content }}")
    with pytest.raises(VLMError, match=r"template of this processor is broken .*takes no images"):
        VLM(MODEL, processor)


ZEPHYR = "<|user|>\n{{ question }}</s>\n<|assistant|>{{ '\n' }}"
PHI3 = "<|user|>\n{{ question }}<|end|>\n<|assistant|>{{ '\n' }}"
VICUNA = "USER: {{ question }} ASSISTANT:"
WITH_IMAGE = "<image>{{ messages[0].content[1].text }}"
TEXT_ALONE = "{{ '' + messages[0].content }}"
OF_ZEPHYR, OF_PHI3 = ["<|user|>", "<|assistant|>"], [*PHI3_TOKENS]
ZEPHYRS = "<|user|>\n<image>{question}</s>\n<|assistant|>\n"
# Special tokens, how a chat template writes a question, with what in its place, and what is asked.
KINDS = {
    "Zephyr's": (OF_ZEPHYR, ZEPHYR, WITH_IMAGE, ZEPHYRS),
    "Zephyr's, where Phi-3's tokens are": (OF_PHI3, ZEPHYR, WITH_IMAGE, ZEPHYRS),
    "Phi-3's": (OF_PHI3, PHI3, WITH_IMAGE, PHI3_PROMPT),
    "Phi-3's, begun": (OF_PHI3, "{{ bos_token }}" + PHI3, WITH_IMAGE, PHI3_PROMPT),
    "Phi-3's, of text alone": (OF_PHI3, PHI3, TEXT_ALONE, PHI3_PROMPT),
    "Phi-3's words, which are no tokens": (
        OF_ZEPHYR,
        PHI3,
        WITH_IMAGE.replace("<image>", "<image> "),
        PHI3_PROMPT.replace("<image>", "<image> "),
    ),
    "Vicuna's, where Phi-3's tokens are": (OF_PHI3, VICUNA, WITH_IMAGE, VICUNA_PROMPT),
    "none, Phi-3's tokens": (OF_PHI3, None, "", PHI3_PROMPT),
    "none, one of Phi-3's tokens": (["<|assistant|>"], None, "", VICUNA_PROMPT),
}


@pytest.mark.slow
@pytest.mark.parametrize(("special", "template", "asked", "prompt"), KINDS.values(), ids=KINDS)
def test_the_authors_prompts_are_for_templates_of_their_kind(special, template, asked, prompt):
    processor = processor_of("$A", template and template.replace("{{ question }}", asked))
    processor.tokenizer.add_tokens(special, special_tokens=True)
    torch.manual_seed(0)
    model = llava(processor, SIZES, SIZES)
    assert VLM(model, processor).prompt == prompt


def test_a_conversation_that_cannot_be_read_names_the_step(monkeypatch):
    processor = processor_of("$A", BODY)
    own = type(processor).apply_chat_template

    def text_alone(self, conversation, add_generation_prompt):
        return own(self, conversation, add_generation_prompt=add_generation_prompt)

    monkeypatch.setattr(type(processor), "apply_chat_template", text_alone)
    with pytest.raises(VLMError, match=r"for tokens and a prompt failed .*tokenize.* prompt="):
        VLM(MODEL, processor)


def test_what_is_written_after_texts_needs_texts_that_end_apart():
    """Where it knows neither, their prompts are one, though the processor leaves out no text."""
    processor = tiny_processor()
    assert written_after(processor, picture(), "<image> Hi?") == ""
    ended = processor_of("<s> $A </s>", BODY)
    assert written_after(ended, picture(), "<image> Hi?") == "</s>"
    tokenizer = processor.tokenizer
    vocabulary = {"<s>": 0, "<unk>": 1, "<image>": 2, "Hi?": 3}
    tokenizer.backend_tokenizer.model = models.WordLevel(vocabulary, unk_token="<unk>")
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    assert written_after(processor, picture(), "<image> Hi? ") == ""
