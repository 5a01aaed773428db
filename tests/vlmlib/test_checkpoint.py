"""Loading a folder: what the three families' checkpoints hold, and what is refused.

Fails if a saved model comes back with other logits, if a processor that lacks something is not
completed, if Qwen2-VL needs a library for videos, or if a folder that cannot be used loads.
"""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoProcessor, BatchFeature, Qwen2VLProcessor

from tests.tiny import PATCH, picture, tiny_processor, tiny_qwen, tiny_vlm
from vlmlib import VLM, VLMError
from vlmlib.architecture import PHI3_PROMPT

QUESTION = "Is there a dog in this image?"


def same_logits(one: VLM, other: VLM) -> None:
    logits = [
        vlm.next_token(vlm.read(picture(size=(30, 20)), QUESTION), [[]]) for vlm in (one, other)
    ]
    torch.testing.assert_close(*logits, rtol=1e-5, atol=1e-5)


def save_qwen(vlm: VLM, folder: Path) -> None:
    """The files of Qwen2-VL's checkpoints on the hub."""
    vlm.model.save_pretrained(folder)
    vlm.processor.image_processor.save_pretrained(folder)
    vlm.processor.tokenizer.save_pretrained(folder)
    settings = json.loads((folder / "preprocessor_config.json").read_text())
    settings |= {
        "image_processor_type": "Qwen2VLImageProcessor",
        "processor_class": "Qwen2VLProcessor",
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings["chat_template"] = (folder / "chat_template.jinja").read_text()
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "chat_template.jinja").unlink()


def test_a_saved_llava_loads_with_the_same_logits(tmp_path):
    vlm = tiny_vlm()
    vlm.model.save_pretrained(tmp_path)
    vlm.processor.save_pretrained(tmp_path)
    same_logits(VLM.load(tmp_path), vlm)


def test_a_llava_phi_3_without_patch_size_loads_whole(tmp_path):
    """A LLaVA-Phi-3 without patch size loads with its prompt and all its visual tokens."""
    processor = tiny_processor()
    processor.tokenizer.add_tokens(["<|user|>", "<|end|>", "<|assistant|>"], special_tokens=True)
    vlm = tiny_vlm()
    vlm.model.resize_token_embeddings(len(processor.tokenizer), mean_resizing=False)
    vlm.model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    settings = json.loads((tmp_path / "processor_config.json").read_text())
    for lacking in ("patch_size", "vision_feature_select_strategy", "num_additional_image_tokens"):
        settings.pop(lacking)
    (tmp_path / "processor_config.json").write_text(json.dumps(settings))
    assert AutoProcessor.from_pretrained(tmp_path).patch_size is None
    loaded = VLM.load(tmp_path)
    stimulus = loaded.read(picture(), QUESTION)
    assert loaded.prompt == PHI3_PROMPT
    assert (len(stimulus.visual), stimulus.grid) == (16, (4, 4))
    assert loaded.processor.patch_size == PATCH


def test_a_qwen2_vl_loads_without_a_library_for_videos(tmp_path):
    vlm = tiny_qwen()
    save_qwen(vlm, tmp_path)
    loaded = VLM.load(tmp_path)
    same_logits(loaded, vlm)
    assert loaded.prompt == vlm.prompt


def test_a_library_that_another_processor_lacks_is_named(tmp_path, monkeypatch, vlm):
    vlm.model.save_pretrained(tmp_path)
    vlm.processor.save_pretrained(tmp_path)

    def lacking(*_args, **_kwargs):
        raise ImportError("SomeProcessor requires the Somevision library")

    monkeypatch.setattr(AutoProcessor, "from_pretrained", lacking)
    with pytest.raises(VLMError, match=r"could not be loaded .* requires the Somevision library"):
        VLM.load(tmp_path)


class WithoutVideo(Qwen2VLProcessor):
    """Qwen2-VL's own processor, which would want a video processor."""

    def check_argument_for_proper_class(self, argument_name, argument):
        return None


@pytest.mark.parametrize("size", [(30, 20), (16, 90), (200, 100)])
def test_pictures_and_text_are_read_as_by_qwens_own_processor(size):
    ours = tiny_qwen().processor
    own = WithoutVideo(
        ours.image_processor, ours.tokenizer, None, chat_template=ours.tokenizer.chat_template
    )
    conversation = [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": QUESTION}]}
    ]
    readers: list[Callable[..., BatchFeature]] = [ours, own]
    prompts = [
        each.apply_chat_template(conversation, add_generation_prompt=True) for each in (ours, own)
    ]
    assert prompts[0] == prompts[1]
    made, expected = (
        each(images=picture(size=size), text=prompts[0], return_tensors="pt") for each in readers
    )
    assert set(made) == set(expected)
    assert all(torch.equal(made[name], expected[name]) for name in expected)


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("processor_config.json", "has no processor"),
        ("config.json", "has no configuration"),
        ("model.safetensors", "has no weights"),
        ("tokenizer.json", "has no tokenizer"),
    ],
)
def test_an_incomplete_folder_is_refused_by_name(tmp_path: Path, vlm, missing, message):
    vlm.model.save_pretrained(tmp_path)
    vlm.processor.save_pretrained(tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(VLMError, match=message) as error:
        VLM.load(tmp_path)
    assert str(tmp_path) in str(error.value)


def test_an_unknown_architecture_is_refused(tmp_path: Path, vlm):
    vlm.model.save_pretrained(tmp_path)
    vlm.processor.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"model_type": "no-such-type"}))
    with pytest.raises(VLMError, match="could not be loaded"):
        VLM.load(tmp_path)


@pytest.mark.parametrize("source", ["no/such/folder", "nowhere", "./nowhere"])
def test_a_source_that_is_neither_folder_nor_hub_id_is_refused(source):
    with pytest.raises(VLMError, match=r"There is no folder .*llava-hf/llava-1.5-7b-hf"):
        VLM.load(source)
