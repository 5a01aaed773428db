"""Which processors are taken without their video half, seen from their classes.

Fails if one is halved that has other parts, or where nothing is lacking; if a half takes one part
in another's place; or if who needs the other half is not told what to install.
"""

import pytest
from transformers import Qwen2_5_VLProcessor, Qwen2VLProcessor, Qwen3VLProcessor

from tests.layouts import llava_1_5, qwen2_vl
from tests.tiny import picture, qwen_processor, tiny_qwen
from vlmlib import VLM, VLMError, halves


class Omnivorous(Qwen2VLProcessor):
    """Listens, too."""

    def __init__(self, image_processor=None, tokenizer=None, video_processor=None, **kwargs):
        super().__init__(image_processor, tokenizer, video_processor, **kwargs)

    @classmethod
    def get_attributes(cls):
        return [*super().get_attributes(), "feature_extractor"]


class Entangled(Qwen2VLProcessor):
    """Asks its video half about pictures."""

    def __init__(self, image_processor=None, tokenizer=None, video_processor=None, **kwargs):
        self.size = video_processor.size  # pyright: ignore
        super().__init__(image_processor, tokenizer, video_processor, **kwargs)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("hub") / "qwen"
    qwen2_vl(path)
    return path


@pytest.fixture
def named(monkeypatch):
    return lambda kind: monkeypatch.setattr(halves, "processor_class_from_name", lambda _: kind)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Qwen2VLProcessor, Qwen2_5_VLProcessor, Qwen3VLProcessor])
def test_a_processor_with_a_video_half_is_read_without_it(folder, named, kind):
    named(kind)
    processor = VLM.load(folder).processor
    assert isinstance(processor, kind)
    assert processor.video_processor is None
    stimuli = [each.read(picture(), "Hi?") for each in (VLM.load(folder), tiny_qwen())]
    assert stimuli[0].input_ids.tolist() == stimuli[1].input_ids.tolist()


def test_what_has_other_parts_or_no_such_half_stays_whole(folder, named, tmp_path, monkeypatch):
    assert halves.halved(folder, "qwen2_vl") is not None
    for kind in (Omnivorous, None):
        named(kind)
        assert halves.halved(folder, "qwen2_vl") is None
    named(Qwen2VLProcessor)
    monkeypatch.setattr(halves, "is_torchvision_available", lambda: True)
    assert halves.halved(folder, "qwen2_vl") is None
    monkeypatch.undo()
    llava_1_5(tmp_path / "other")
    assert halves.halved(tmp_path / "other", "llava") is None


def test_a_checkpoint_that_names_no_processor_has_that_of_its_model(folder, monkeypatch):
    monkeypatch.setattr(halves, "NAMED_IN", ())
    half = halves.halved(folder, "qwen2_vl")
    assert half is not None
    assert issubclass(half, Qwen2VLProcessor)


def test_a_half_that_needs_the_other_is_told_what_to_install(folder, named):
    named(Entangled)
    with pytest.raises(VLMError, match=r"Install torchvision: pip install 'vlm-claims\[vision\]'"):
        VLM.load(folder)


def test_a_half_still_looks_at_its_parts():
    whole = qwen_processor()
    half = halves.image_half(Qwen2VLProcessor)
    with pytest.raises(TypeError, match="for argument image_processor"):
        half(whole.tokenizer, whole.tokenizer, None)
