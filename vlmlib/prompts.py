"""How a prompt begins, and how an answer follows it: as text, and with which token."""

from itertools import takewhile, zip_longest
from typing import Any

import torch
from PIL import Image

from vlmlib.errors import VLMError
from vlmlib.inputs import inputs_of

# Texts of which no piece of one ends as one of the other does.
ENDS = ("Yes", "No")
ASKED = {"type": "text", "text": "{question}"}
ASKED_OF_IMAGE = [{"type": "image"}, ASKED]


def check_prompt(prompt: str, at_start: bool = False) -> None:
    """See that a prompt has one place for an image, and one for a question.

    **Arguments:** a prompt; whether images can be nowhere but at its start.

    **Raises:** `VLMError` for another.

    !!! example

        >>> check_prompt("USER: <image>\\n{question} ASSISTANT:")
    """
    if prompt.count("<image>") != 1 or prompt.count("{question}") != 1:
        raise VLMError(
            f"The prompt {prompt!r} must hold <image> and {{question}}, each exactly once."
        )
    if at_start and not prompt.startswith("<image>"):
        raise VLMError(
            f"The prompt {prompt!r} must begin with <image>, since the processor puts images there "
            "whatever the text."
        )


def templated(processor: Any, content: Any = ASKED_OF_IMAGE) -> str:
    """A chat template's text around one message, by default an image and `{question}`, as it is
    written.

    !!! example

        >>> vlm.processor.chat_template = "<image>{{ messages[0].content[1].text }}"
        >>> templated(vlm.processor)
        '<image>{question}'
    """
    return processor.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True
    )


def begun_once(processor: Any, template: str, image: Image.Image) -> str:
    """A chat template's text as this processor has to be given it, so that it reads the ids that
    the template stands for.

    A template may write the begin-of-sequence token, and a tokenizer may add it: it is left out of
    the text where the tokenizer adds it, and stays where it would be lost.

    **Arguments:** a processor; the text of its template; any image.

    **Raises:** `VLMError` where neither text is read as the template stands for, with the first id
    that differs.

    !!! example

        >>> vlm.processor.chat_template = "<s><image>{{ messages[0].content[1].text }}"
        >>> begun_once(vlm.processor, templated(vlm.processor), image)
        '<image>{question}'
    """
    begin = processor.tokenizer.bos_token or ""
    read = {
        text: _ids(inputs_of(processor, image, text)["input_ids"])
        for text in (template.removeprefix(begin), template)
    }
    content = [{"type": "image", "image": image}, ASKED]
    meant = processor.apply_chat_template(
        [{"role": "user", "content": content}],
        add_generation_prompt=True,
        tokenize=True,
        return_tensors="pt",
    )
    for text, ids in read.items():
        if ids == _ids(meant):
            return text
    pairs = enumerate(zip_longest(read[template], _ids(meant)))
    at, (ours, theirs) = next((at, pair) for at, pair in pairs if pair[0] != pair[1])
    named = [_named(processor.tokenizer, each) for each in (ours, theirs)]
    raise VLMError(
        f"The text of this processor's chat template is read as {named[0]} at position {at}, where "
        f"the template stands for {named[1]}. Its tokenizer adds what the template does not have, "
        "or the other way round. Pass prompt= to VLM, the text that is to be read."
    )


def written_after(processor: Any, image: Image.Image, prompt: str) -> str:
    """What a processor writes after every text that it is given, such as a token with which answers
    begin; "" for most.

    **Arguments:** a processor; any image; a prompt as the processor takes it.

    **Raises:** `VLMError` for one that writes its prompt itself, whatever the text.

    !!! example

        >>> written_after(vlm.processor, image, vlm.prompt)
        ''
    """
    alone = [processor.tokenizer(end, add_special_tokens=False)["input_ids"] for end in ENDS]
    if alone[0][-1:] == alone[1][-1:]:  # its tokenizer knows neither of them
        return ""
    one, other = (_ids(inputs_of(processor, image, prompt + end)["input_ids"]) for end in ENDS)
    if one == other:
        raise VLMError(
            f"{type(processor).__name__} writes its prompt itself and leaves out the text that it "
            "is given, so that no question reaches the model. Use a model whose processor reads "
            "what it is given."
        )
    same = takewhile(lambda pair: pair[0] == pair[1], zip(one[::-1], other[::-1], strict=False))
    return processor.tokenizer.decode([each for each, _ in same][::-1])


def _ids(made: Any) -> list[int]:
    return torch.as_tensor(made).reshape(-1).tolist()


def _named(tokenizer: Any, token: int | None) -> str:
    return "nothing" if token is None else f"{tokenizer.convert_ids_to_tokens(token)!r} ({token})"


def joined(prompt: str, continuation: str) -> str:
    """A prompt and what follows it, with a space between them unless the prompt ends in white
    space.

    !!! example

        >>> joined("ASSISTANT:", "It is a"), joined("assistant\\n", "It is a")
        ('ASSISTANT: It is a', 'assistant\\nIt is a')
    """
    needs_space = continuation and not prompt[-1:].isspace()
    return f"{prompt} {continuation}" if needs_space else prompt + continuation


def first_token(tokenizer: Any, prompt: str, answer: str) -> int:
    """The id of the first piece of an answer, as a model would have to produce it after this
    prompt.

    Prompt and answer are read as one text, and the prompt's own pieces taken off: right for pieces
    that hold the space before a word (SentencePiece, byte-level BPE), and never a special token
    that the tokenizer adds.

    **Raises:** `VLMError` for an answer that is no token at all.

    !!! example

        >>> tokenizer = vlm.processor.tokenizer
        >>> tokenizer.convert_ids_to_tokens(first_token(tokenizer, "ASSISTANT:", "book"))
        '▁book'
    """

    def pieces(text: str) -> list[int]:
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    answer = answer.strip()
    before, after = pieces(prompt), pieces(joined(prompt, answer))
    if after[: len(before)] != before:
        # the answer melts into the prompt's last piece, which stands already; after a line end it
        # stands by itself
        before, after = pieces("\n"), pieces(f"\n{answer}")
    if len(after) <= len(before):
        raise VLMError(
            f"The answer {answer!r} is no token at all. Ask for a text that the tokenizer knows."
        )
    return after[len(before)]
