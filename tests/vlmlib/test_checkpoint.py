"""Loading a folder: the layouts of every generation of the three families' checkpoints, and every
kind of damage to one.

Fails if a checkpoint comes back with other weights, another prompt or other visual tokens than it
has, if one is loaded that is not whole or not of one model, if code that it brings runs, or if what
a user is told is no paragraph that names file and next step.
"""

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoProcessor, PreTrainedModel

from tests.layouts import llava_1_5, llava_phi_3, qwen2_vl
from tests.tiny import PATCH, ImageTextProcessor, picture, tiny_processor, tiny_qwen, tiny_vlm
from vlmlib import VLM, VLMError
from vlmlib.architecture import PHI3_PROMPT, VICUNA_PROMPT
from vlmlib.checkpoint import half_precision

QUESTION = "Is there a dog in this image?"
LAYOUTS = {"llava-1.5": llava_1_5, "llava-phi-3": llava_phi_3, "qwen2-vl": qwen2_vl}
Change = Callable[[Path], Any]


def same_logits(one: VLM, other: VLM) -> None:
    logits = [
        vlm.next_token(vlm.read(picture(size=(30, 20)), QUESTION), [[]]) for vlm in (one, other)
    ]
    torch.testing.assert_close(*logits, rtol=1e-5, atol=1e-5)


def settings(file: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Changes what a JSON file says."""
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def without(file: str, *keys: str) -> Change:
    return lambda folder: settings(folder / file, lambda all_: [all_.pop(key) for key in keys])


def with_(file: str, **values: Any) -> Change:
    return lambda folder: settings(folder / file, lambda all_: all_.update(values))


def gone(*files: str) -> Change:
    return lambda folder: [(folder / file).unlink() for file in files]


# Layouts of the hub, and of each transformers that wrote one.


@pytest.fixture(scope="module")
def hub(tmp_path_factory) -> dict[str, tuple[Path, PreTrainedModel]]:
    """The three layouts of the hub, each with its model in memory."""
    folder = tmp_path_factory.mktemp("hub")
    return {name: (folder / name, make(folder / name)) for name, make in LAYOUTS.items()}


@pytest.fixture
def copied(hub, tmp_path) -> Callable[[str], Path]:
    return lambda name: Path(shutil.copytree(hub[name][0], tmp_path / name))


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYOUTS)
def test_a_folder_of_the_hub_loads_with_all_its_weights(hub, name):
    folder, model = hub[name]
    half = getattr(torch, half_precision(folder))
    loaded = VLM.load(folder).model.state_dict()
    expected = model.state_dict()
    assert loaded.keys() == expected.keys()
    assert all(torch.equal(loaded[each], expected[each].to(half).float()) for each in expected)


def nested(folder: Path) -> None:
    """transformers 5: the image processor's settings within the processor's, a template file."""
    images = json.loads((folder / "preprocessor_config.json").read_text())
    settings(folder / "processor_config.json", lambda all_: all_.update(image_processor=images))
    template = json.loads((folder / "chat_template.json").read_text())["chat_template"]
    (folder / "chat_template.jinja").write_text(template)
    gone("preprocessor_config.json", "chat_template.json")(folder)


def whole_numbers(folder: Path) -> None:
    """transformers before 4.31: positions and frequencies, which are computed, as tensors."""
    shard = min(folder.glob("*.safetensors"))
    tensors = load_file(shard)
    prefix = "vision_tower.vision_model.embeddings.position_ids"
    tensors[prefix] = torch.arange(17)[None]
    tensors["language_model.model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(2)
    save_file(tensors, shard, metadata={"format": "pt"})


def one_file(folder: Path) -> None:
    """A model small enough for one file, which then has no index."""
    tensors: dict[str, torch.Tensor] = {}
    for shard in sorted(folder.glob("*.safetensors")):
        tensors |= load_file(shard)
        shard.unlink()
    (folder / "model.safetensors.index.json").unlink()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


COUNTS = ("patch_size", "vision_feature_select_strategy", "num_additional_image_tokens")
LLAVA_LAYOUTS: dict[str, Change] = {
    "4.36, no processor_config": gone("processor_config.json", "chat_template.json"),
    "4.45, no count of further tokens": without("processor_config.json", COUNTS[2]),
    "no patch size either": without("processor_config.json", *COUNTS),
    "no strategy": without("processor_config.json", *COUNTS[1:]),
    "5, nested": nested,
    "before 4.31, computed tensors": whole_numbers,
    "4.55, fast images": with_(
        "preprocessor_config.json", image_processor_type="CLIPImageProcessorFast"
    ),
    "one file": one_file,
    "dtype, not torch_dtype": with_("config.json", dtype="float16", torch_dtype=None),
    "no template": gone("chat_template.json"),
    "no slow tokenizer": gone("tokenizer.model", "added_tokens.json", "special_tokens_map.json"),
    "no generation_config": gone("generation_config.json"),
}


@pytest.mark.slow
@pytest.mark.parametrize("change", LLAVA_LAYOUTS.values(), ids=LLAVA_LAYOUTS)
def test_a_llava_of_every_generation_is_read_alike(hub, copied, change):
    folder = copied("llava-1.5")
    change(folder)
    loaded, original = VLM.load(folder), VLM.load(hub["llava-1.5"][0])
    stimulus = loaded.read(picture(), QUESTION)
    assert loaded.prompt == VICUNA_PROMPT
    assert (len(stimulus.visual), stimulus.grid) == (16, (4, 4))
    assert loaded.processor.patch_size == PATCH
    same_logits(loaded, original)


def test_a_llava_phi_3_is_asked_in_its_own_words(hub):
    """Its chat template takes no pictures, and its processor knows no patches."""
    folder = hub["llava-phi-3"][0]
    assert AutoProcessor.from_pretrained(folder).patch_size is None
    loaded = VLM.load(folder)
    stimulus = loaded.read(picture(), QUESTION)
    assert loaded.prompt == PHI3_PROMPT
    assert (len(stimulus.visual), stimulus.grid) == (16, (4, 4))


def template_file(folder: Path) -> None:
    template = json.loads((folder / "chat_template.json").read_text())["chat_template"]
    (folder / "chat_template.jinja").write_text(template)
    for file in ("chat_template.json", "tokenizer_config.json"):
        without(file, "chat_template")(folder)
    (folder / "chat_template.json").unlink()


def areas(folder: Path) -> None:
    """transformers 4.52: bounds of a picture's area as a size."""
    file = folder / "preprocessor_config.json"
    old = json.loads(file.read_text())
    size = {"shortest_edge": old["min_pixels"], "longest_edge": old["max_pixels"]}
    with_("preprocessor_config.json", size=size)(folder)


def nested_text(folder: Path) -> None:
    """transformers 4.52: the language model's settings in a part of their own."""
    flat = json.loads((folder / "config.json").read_text())
    of_text = ("hidden_size", "intermediate_size", "num_attention_heads", "num_hidden_layers")
    of_text += ("num_key_value_heads", "rms_norm_eps", "rope_theta", "rope_scaling", "vocab_size")
    text = {key: flat.pop(key) for key in of_text} | {"model_type": "qwen2_vl_text"}
    (folder / "config.json").write_text(json.dumps(flat | {"text_config": text}))


def nested_processor(folder: Path) -> None:
    """transformers 5: what every part of the processor is, in one file."""
    images = json.loads((folder / "preprocessor_config.json").read_text())
    images.pop("processor_class")
    videos = images | {"video_processor_type": "Qwen2VLVideoProcessor"}
    videos.pop("image_processor_type")
    parts = {"image_processor": images, "video_processor": videos}
    whole = parts | {"processor_class": "Qwen2VLProcessor"}
    (folder / "processor_config.json").write_text(json.dumps(whole))
    gone("preprocessor_config.json")(folder)
    template_file(folder)


QWEN_LAYOUTS: dict[str, Change] = {
    "as on the hub": lambda _: None,
    "template in chat_template.json alone": without("tokenizer_config.json", "chat_template"),
    "template in the tokenizer alone": gone("chat_template.json"),
    "template in a file of its own": template_file,
    "bounds as a size": areas,
    "5, one file for the processor": nested_processor,
    "4.55, fast images": with_(
        "preprocessor_config.json", image_processor_type="Qwen2VLImageProcessorFast"
    ),
    "beside settings of videos": lambda folder: shutil.copy(
        folder / "preprocessor_config.json", folder / "video_preprocessor_config.json"
    ),
    "nested": nested_text,
    "no slow tokenizer": gone("vocab.json", "merges.txt"),
    "no fast tokenizer": gone("tokenizer.json"),
    "one file": one_file,
}


@pytest.mark.slow
@pytest.mark.parametrize("change", QWEN_LAYOUTS.values(), ids=QWEN_LAYOUTS)
def test_a_qwen2_vl_of_every_generation_is_read_alike(hub, copied, change):
    """And needs no library for videos."""
    folder = copied("qwen2-vl")
    change(folder)
    loaded, original = VLM.load(folder), VLM(hub["qwen2-vl"][1], tiny_qwen().processor)
    assert loaded.prompt == original.prompt
    stimuli = [each.read(picture(size=(16, 40)), QUESTION) for each in (loaded, original)]
    assert stimuli[0].grid == stimuli[1].grid == (5, 2)
    assert torch.equal(stimuli[0].input_ids, stimuli[1].input_ids)
    same_logits(loaded, VLM.load(hub["qwen2-vl"][0]))


@pytest.mark.slow
@pytest.mark.parametrize("make", [tiny_vlm, tiny_qwen], ids=["llava", "qwen2-vl"])
def test_what_todays_transformers_saves_loads_with_the_same_logits(tmp_path, make):
    vlm = make()
    vlm.model.save_pretrained(tmp_path)
    for part in (vlm.processor.image_processor, vlm.processor.tokenizer):
        part.save_pretrained(tmp_path)
    if make is tiny_vlm:
        vlm.processor.save_pretrained(tmp_path)
    else:
        with_(
            "preprocessor_config.json",
            image_processor_type="Qwen2VLImageProcessor",
            processor_class="Qwen2VLProcessor",
        )(tmp_path)
    loaded = VLM.load(tmp_path)
    same_logits(loaded, vlm)
    assert loaded.prompt == vlm.prompt


def test_the_half_precision_of_a_checkpoint_needs_its_configuration_alone(hub, tmp_path):
    """float16 for LLaVA, as the authors ran it, and bfloat16 for all others."""
    kinds = {}
    for name, (folder, _) in hub.items():
        (tmp_path / name).mkdir()
        shutil.copy(folder / "config.json", tmp_path / name)
        kinds[name] = half_precision(tmp_path / name)
    assert kinds == {"llava-1.5": "float16", "llava-phi-3": "float16", "qwen2-vl": "bfloat16"}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", torch.float32])
def test_weights_are_loaded_in_the_type_that_is_asked_for(hub, dtype):
    loaded = VLM.load(hub["llava-1.5"][0], dtype=dtype).model.dtype
    assert str(loaded).removeprefix("torch.") == str(dtype).removeprefix("torch.")


def test_weights_that_have_no_room_say_how_much_they_take(hub, monkeypatch):
    def full(*_args):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(PreTrainedModel, "to", full)
    with pytest.raises(VLMError, match=r"take 0.0 GB as float16, for which .* no room left"):
        VLM.load(hub["llava-1.5"][0], dtype="float16")


@pytest.mark.parametrize("size", [(30, 20), (16, 90), (200, 100)])
def test_pictures_and_text_are_read_by_a_half_as_they_are_written_out(size):
    """The oracle: the image processor, and one image token for each visual token."""
    half = tiny_qwen().processor
    plain = ImageTextProcessor(half.image_processor, half.tokenizer, half.image_token)
    conversation = [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": QUESTION}]}
    ]
    readers: list[Any] = [half, plain]
    prompts = [
        each.apply_chat_template(conversation, add_generation_prompt=True) for each in readers
    ]
    assert prompts[0] == prompts[1]
    made, expected = (
        each(images=picture(size=size), text=prompts[0], return_tensors="pt") for each in readers
    )
    assert set(made) == set(expected)
    assert all(torch.equal(made[name], expected[name]) for name in expected)


# Damage.

INDEX = "model.safetensors.index.json"
FIRST, LAST = "model-00001-of-00003.safetensors", "model-00003-of-00003.safetensors"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"
XET = b"# xet version 0\nfilesize = 12345\nhash = '4d7a2146'\n"


def refused(folder: Path, **options: Any) -> str:
    """The one paragraph that a user reads, which names something in the folder."""
    with pytest.raises(VLMError) as error:
        VLM.load(folder, **options)
    message = str(error.value)
    assert "\n" not in message
    assert str(folder) in message
    assert len(message) < 1200
    return message


def cut(file: str) -> Change:
    def change(folder: Path) -> None:
        content = (folder / file).read_bytes()
        (folder / file).write_bytes(content[: len(content) * 2 // 3])

    return change


def bytes_in(file: str, content: bytes) -> Change:
    return lambda folder: (folder / file).write_bytes(content)


def folder_in_place_of(file: str) -> Change:
    def change(folder: Path) -> None:
        (folder / file).unlink()
        (folder / file).mkdir()

    return change


def fifo(folder: Path) -> None:
    (folder / FIRST).unlink()
    os.mkfifo(folder / FIRST)


def dangling(file: str) -> Change:
    def change(folder: Path) -> None:
        (folder / file).unlink()
        (folder / file).symlink_to("../blobs/0123")

    return change


def renamed(old: str, new: str) -> Change:
    return lambda folder: (folder / old).rename(folder / new)


def pickled(folder: Path) -> None:
    for file in folder.glob("model*"):
        file.unlink()
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x02cos\nsystem\n")


def adapter(folder: Path) -> None:
    for file in folder.glob("model*"):
        file.unlink()
    (folder / "adapter_model.safetensors").write_bytes(b"")
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "some/model"}')


JSON = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "processor_config.json",
    "preprocessor_config.json",
    "chat_template.json",
    "special_tokens_map.json",
    "added_tokens.json",
    INDEX,
]
DAMAGED_FILES: dict[str, tuple[Change, str]] = {
    **{f"{file} cut short": (cut(file), f"{file}' is no valid JSON") for file in JSON},
    "an empty JSON": (bytes_in("generation_config.json", b""), "generation_config.json' is empty"),
    "a JSON list": (bytes_in("config.json", b"[]"), "config.json' holds a list; expected a JSON"),
    "JSON null": (bytes_in("processor_config.json", b"null"), "holds null; expected a JSON object"),
    "a JSON pointer": (bytes_in("tokenizer.json", POINTER), "tokenizer.json' is a pointer to a f"),
    "UTF-16": (bytes_in("config.json", "{}".encode("utf-16")), "config.json' is no valid JSON"),
    "a byte order mark": (bytes_in("config.json", b"\xef\xbb\xbf{}"), "is no valid JSON"),
    "an HTML page": (bytes_in("config.json", b"<html>Sign in</html>"), "is no valid JSON"),
    "JSON without end": (bytes_in("config.json", b"[" * 100_000), "is no valid JSON"),
    "JSON that is no tokenizer": (bytes_in("tokenizer.json", b"{}"), "could not be loaded as"),
    "a shard cut short": (cut(FIRST), f"{FIRST}' is no whole safetensors file"),
    "the last shard cut short": (cut(LAST), f"{LAST}' is no whole safetensors file"),
    "an empty shard": (bytes_in(FIRST, b""), f"{FIRST}' is empty. Download it again"),
    "a shard of noise": (bytes_in(FIRST, b"\xff" * 999), "is no whole safetensors file"),
    "a shard of zeros": (bytes_in(FIRST, b"\0" * 999), "is no whole safetensors file"),
    "a pointer of git-LFS": (bytes_in(FIRST, POINTER), f"{FIRST}' is a pointer to a file that was"),
    "a pointer of Xet": (bytes_in(LAST, XET), f"{LAST}' is a pointer to a file that was not down"),
    "a shard that is a folder": (folder_in_place_of(FIRST), f"{FIRST}' is no regular file"),
    "a configuration that is a folder": (folder_in_place_of("config.json"), "is no regular file"),
    "a shard that is a pipe": (fifo, f"{FIRST}' is no regular file"),
    "a link to nothing": (dangling(FIRST), "a link to '../blobs/0123', cannot be read (No such"),
    "a configuration that is a link to nothing": (dangling("config.json"), "cannot be read (No s"),
    "a shard that is missing": (gone(LAST), f"has no {LAST}, which {INDEX} names"),
    "no index": (
        gone(INDEX),
        f"has no weights (model.safetensors or {INDEX}); {FIRST} does not te",
    ),
    "an index of nothing": (bytes_in(INDEX, b"{}"), f"{INDEX}' has no weight_map"),
    "an index of a list": (with_(INDEX, weight_map=["x"]), f"{INDEX}' has no weight_map"),
    "an index that leads out": (
        with_(INDEX, weight_map={"x": "../other/model.safetensors"}),
        "names '../other/model.safetensors'; expected the name of a file in its folder",
    ),
    "an index with a root": (with_(INDEX, weight_map={"x": "/etc/passwd"}), "names '/etc/passwd'"),
    "an index of numbers": (with_(INDEX, weight_map={"x": 3}), "names 3; expected the name of"),
    "weights under another name": (
        lambda folder: (
            one_file(folder),
            renamed("model.safetensors", "llava.safetensors")(folder),
        ),
        "has no weights (model.safetensors or",
    ),
    "pickled weights": (pickled, "pytorch_model.bin is pickled and never loaded"),
    "an adapter": (adapter, "adapter_config.json makes it the folder of an adapter: merge it"),
    "an adapter beside weights": (
        bytes_in("adapter_config.json", b"{}"),
        "makes this the folder of an adapter. Merge",
    ),
    "no configuration": (gone("config.json"), "has no configuration (config.json). Save model and"),
    "no tokenizer": (gone("tokenizer.json", "tokenizer.model"), "has no tokenizer (tokenizer.json"),
    "no processor": (gone("preprocessor_config.json", "processor_config.json"), "has no processor"),
    "a broken template": (
        with_("chat_template.json", chat_template="{% for x in %}"),
        "chat template of this processor is broken",
    ),
}


@pytest.mark.parametrize(("change", "message"), DAMAGED_FILES.values(), ids=DAMAGED_FILES)
def test_a_damaged_file_is_named(copied, change, message):
    folder = copied("llava-1.5")
    change(folder)
    assert message in refused(folder)


@contextmanager
def nobody() -> Iterator[None]:
    """As a user who owns nothing, where this one may read everything."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("file", ["config.json", FIRST, ""])
def test_what_may_not_be_read_is_named(hub, tmp_path_factory, file):
    base = Path("/tmp") / f"may-not-be-read-{os.getpid()}"
    folder = Path(shutil.copytree(hub["llava-1.5"][0], base))
    folder.chmod(0o755)
    try:
        (folder / file).chmod(0)
        with nobody():
            message = refused(folder)
        assert "cannot be read (Permission denied). Change its permissions" in message
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)


def change_weights(change: Callable[[dict[str, torch.Tensor]], Any]) -> Change:
    """Changes the tensors of a checkpoint, which becomes one file."""

    def changed(folder: Path) -> None:
        one_file(folder)
        tensors = load_file(folder / "model.safetensors")
        change(tensors)
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})

    return changed


LAYER = "language_model.model.layers.1."
UP = f"{LAYER}mlp.up_proj.weight"
IN_MEMORY = "model.language_model.layers.1."


def without_layer(tensors: dict[str, torch.Tensor]) -> None:
    for name in [name for name in tensors if name.startswith(LAYER)]:
        del tensors[name]


def filled(name: str, value: float) -> Change:
    return change_weights(lambda tensors: tensors[name].view(-1)[:1].fill_(value))


def more_layers(folder: Path) -> None:
    settings(folder / "config.json", lambda all_: all_["text_config"].update(num_hidden_layers=3))


def fewer_layers(folder: Path) -> None:
    settings(folder / "config.json", lambda all_: all_["text_config"].update(num_hidden_layers=1))


def wider(folder: Path) -> None:
    settings(folder / "config.json", lambda all_: all_["text_config"].update(intermediate_size=48))


def of_another_model(folder: Path) -> None:
    for file in folder.glob("model*"):
        file.unlink()
    tiny_qwen().model.save_pretrained(folder / "other")
    shutil.move(folder / "other" / "model.safetensors", folder)


WRONG_WEIGHTS: dict[str, tuple[Change, str]] = {
    "a tensor is missing": (
        change_weights(lambda tensors: tensors.pop(UP)),
        f"the tensor {IN_MEMORY}mlp.up_proj.weight is missing, which would be filled at random",
    ),
    "a layer is missing": (change_weights(without_layer), f"9 tensors ({IN_MEMORY}input_layernorm"),
    "the adapter is missing": (
        change_weights(lambda tensors: tensors.pop("multi_modal_projector.linear_1.weight")),
        "multi_modal_projector.linear_1.weight is missing",
    ),
    "the unembedding is missing": (
        change_weights(lambda tensors: tensors.pop("language_model.lm_head.weight")),
        "the tensor lm_head.weight is missing",
    ),
    "more layers in config.json": (more_layers, "model.language_model.layers.2.input_layernorm"),
    "no sizes of a part": (
        lambda folder: settings(folder / "config.json", lambda all_: all_.update(text_config=None)),
        "describes a model of",
    ),
    "sizes far too large": (
        lambda folder: settings(
            folder / "config.json",
            lambda all_: all_["text_config"].update(hidden_size=4096, intermediate_size=10**6),
        ),
        "describes a model of",
    ),
    "fewer layers in config.json": (fewer_layers, "are there for which the model has no place"),
    "a tensor too many": (
        change_weights(lambda tensors: tensors.update({"extra.weight": torch.ones(2, 2)})),
        "the tensor extra.weight is there for which the model has no place",
    ),
    "another shape": (wider, "are of another shape (model.language_model.layers.0.mlp.down_proj.w"),
    "one of another shape": (
        change_weights(lambda tensors: tensors.update({UP: torch.ones(3, 16)})),
        "mlp.up_proj.weight is [3, 16], and [32, 16] by config.json",
    ),
    "weights of another model": (of_another_model, "are missing, which would be filled at random"),
    "int8": (
        change_weights(lambda tensors: tensors.update({UP: tensors[UP].to(torch.int8)})),
        f"holds 1 tensors that are no floats, the first {UP} (I8); expected F64",
    ),
    "packed bytes": (
        change_weights(lambda tensors: tensors.update({UP: tensors[UP].view(torch.uint8)})),
        "(U8); expected F64, F32, F16, BF16",
    ),
    "floats of 8 bits": (
        change_weights(lambda tensors: tensors.update({UP: tensors[UP].to(torch.float8_e4m3fn)})),
        "(F8_E4M3); expected F64",
    ),
    "truth values": (
        change_weights(lambda tensors: tensors.update({UP: tensors[UP] > 0})),
        "(BOOL); expected F64",
    ),
    "NaN": (filled(UP, float("nan")), "not finite in model.language_model.layers.1.mlp.up_proj"),
    "infinity": (filled(UP, float("inf")), "not finite in model.language_model.layers.1.mlp.up_pr"),
    "minus infinity in a norm": (
        filled("language_model.model.norm.weight", float("-inf")),
        "not finite in model.language_model.norm.weight as float32",
    ),
    "zeros": (
        change_weights(lambda tensors: tensors[UP].zero_()),
        "all zero in model.language_model.layers.1.mlp.up_proj.weight, as in a file",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize(("change", "message"), WRONG_WEIGHTS.values(), ids=WRONG_WEIGHTS)
def test_weights_that_are_not_the_models_are_refused(copied, change, message):
    folder = copied("llava-1.5")
    change(folder)
    assert message in refused(folder)


def test_a_number_too_large_for_float16_names_the_type(copied):
    folder = copied("llava-1.5")
    change_weights(lambda tensors: tensors.update({UP: tensors[UP].float() * 1e6}))(folder)
    assert 'as float16. Load them in a type of wider range (dtype="bfloat16" or' in refused(
        folder, dtype="float16"
    )
    VLM.load(folder, dtype="bfloat16")


def tokenizer_of_another_model(folder: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    tokenizer = tiny_processor().tokenizer
    tokenizer.add_tokens([f"more{at}" for at in range(50)])
    tokenizer.save_pretrained(folder)
    gone("added_tokens.json", "special_tokens_map.json")(folder)


WRONG_CONFIGS: dict[str, tuple[Change, str]] = {
    "an unknown model": (
        with_("config.json", model_type="no-such"),
        "has model_type 'no-such', wh",
    ),
    "no model type": (without("config.json", "model_type"), "has model_type None, which transform"),
    "a model type of a list": (with_("config.json", model_type=["llava"]), "has model_type ['llav"),
    "a model without images": (
        with_("config.json", model_type="llama"),
        "has model_type 'llama', whose models do not answer about images",
    ),
    "a model of several": (
        with_("config.json", model_type="qwen2_5_omni"),
        "Load that with transformers (Qwen2_5OmniThinkerForConditionalGeneration.from_pretrained)",
    ),
    "code of its own": (
        with_("config.json", model_type="own", auto_map={"AutoConfig": "own.Own"}),
        "It brings code of its own (auto_map), which is never run here.",
    ),
    "GPTQ": (
        with_("config.json", quantization_config={"quant_method": "gptq", "bits": 4}),
        "the weights are quantised (gptq), in which they are not read here",
    ),
    "AWQ": (with_("config.json", quantization_config={"quant_method": "awq"}), "quantised (awq)"),
    "weights elsewhere": (
        with_("config.json", transformers_weights="../other.safetensors"),
        "the weights are in '../other.safetensors' (transformers_weights); expected model.safe",
    ),
    "settings of a wrong type": (
        with_("config.json", text_config="llama"),
        "could not be loaded as a vision-language checkpoint",
    ),
    "settings of a wrong value": (
        lambda folder: settings(
            folder / "config.json", lambda all_: all_["text_config"].update(hidden_size="wide")
        ),
        "could not be loaded as a vision-language checkpoint",
    ),
}


@pytest.mark.parametrize(("change", "message"), WRONG_CONFIGS.values(), ids=WRONG_CONFIGS)
def test_a_configuration_that_cannot_be_used_is_refused(copied, change, message):
    folder = copied("llava-1.5")
    change(folder)
    assert message in refused(folder)


WRONG_TOKENS: dict[str, tuple[Change, str]] = {
    "outside the vocabulary": (
        with_("config.json", image_token_index=99_999),
        "The model's image token has the id 99999 .* but its vocabulary ends at 5",
    ),
    "negative": (with_("config.json", image_token_index=-1), "image token has the id -1"),
    "another than the processor's": (
        with_("config.json", image_token_index=7),
        "The processor's image token '<image>' has the id 583 .* but the model's has 7",
    ),
    "the processor's is another": (
        with_("processor_config.json", image_token="<pad>"),
        "'<pad>' has the id 584 in its tokenizer, but the model's has 583",
    ),
    "a tokenizer too large": (
        tokenizer_of_another_model,
        "has 6.. tokens, but the model has embed",
    ),
    "a patch of another size": (
        with_("processor_config.json", patch_size=8),
        "cannot run on what its processor made of a picture .* tokens: 4, features",
    ),
    "a picture of another size": (
        with_("preprocessor_config.json", crop_size={"height": 24, "width": 24}),
        "cannot run on what its processor made .*Take the processor that was saved with this",
    ),
}


@pytest.mark.parametrize(("change", "message"), WRONG_TOKENS.values(), ids=WRONG_TOKENS)
def test_a_processor_that_is_not_the_models_is_refused(copied, change, message):
    folder = copied("llava-1.5")
    change(folder)
    assert re.search(message, refused(folder))


IMAGES = "preprocessor_config.json"
WRONG_SETTINGS: dict[str, tuple[str, Change, str]] = {
    "means of two colours": ("llava-1.5", with_(IMAGES, image_mean=[0.1, 0.2]), "mean must have 3"),
    "no spread of colours": ("llava-1.5", with_(IMAGES, image_std=[0, 0, 0]), "divide by zero"),
    "a factor that is text": ("llava-1.5", with_(IMAGES, rescale_factor="x"), "every image, the s"),
    "an unknown resampling": ("llava-1.5", with_(IMAGES, resample=99), "resampling filter"),
    "no size": ("llava-1.5", with_(IMAGES, size={}), "could not be loaded as"),
    "no resizing": (
        "llava-1.5",
        with_(IMAGES, do_resize=False, do_center_crop=False),
        "Take the processor that was saved with this model",
    ),
    "a patch that is text": (
        "llava-1.5",
        with_("processor_config.json", patch_size="x"),
        "every im",
    ),
    "a patch of nothing": (
        "llava-1.5",
        with_("processor_config.json", patch_size=0),
        "every image",
    ),
    "a layer that there is not": (
        "llava-1.5",
        with_("config.json", vision_feature_layer=-9),
        "cannot run on what its processor made",
    ),
    "an end that is text": (
        "llava-1.5",
        with_("generation_config.json", eos_token_id="two"),
        "has eos_token_id='two'; expected ids of its vocabulary, 0 to",
    ),
    "an end outside the vocabulary": (
        "qwen2-vl",
        with_("generation_config.json", eos_token_id=[2, 10**9]),
        "or no description would end. Take the generation_config.json that was saved with",
    ),
    "merging by three": (
        "qwen2-vl",
        with_(IMAGES, merge_size=3),
        "cannot run on what its processor",
    ),
    "a patch of another size": (
        "qwen2-vl",
        with_(IMAGES, patch_size=8),
        "cannot run on what its pr",
    ),
    "bounds that are text": (
        "qwen2-vl",
        with_(IMAGES, max_pixels="x"),
        "every image, the settings",
    ),
    "a template that is none": (
        "qwen2-vl",
        with_("chat_template.json", chat_template=5),
        "chat_template.json' has no text as chat_template",
    ),
    "a template without pictures": (
        "qwen2-vl",
        with_("chat_template.json", chat_template="{{ messages[0].content[1].text }}"),
        "must hold <image> and {question}, each exactly once",
    ),
    "a template that refuses": (
        "qwen2-vl",
        with_("chat_template.json", chat_template="{{ raise_exception('no') }}"),
        "chat template of this processor is broken (no)",
    ),
    "other turns of positions": (
        "qwen2-vl",
        with_("config.json", rope_scaling={"type": "mrope", "mrope_section": [9, 9, 9]}),
        "cannot run on what its processor made",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "change", "message"), WRONG_SETTINGS.values(), ids=WRONG_SETTINGS)
def test_settings_that_mean_nothing_are_refused(copied, name, change, message):
    folder = copied(name)
    change(folder)
    assert message in refused(folder)


def test_a_library_that_another_processor_lacks_is_named(hub, monkeypatch):
    def lacking(*_args, **_kwargs):
        raise ImportError("SomeProcessor requires the Somevision library")

    monkeypatch.setattr(AutoProcessor, "from_pretrained", lacking)
    message = refused(hub["llava-1.5"][0])
    assert "could not be loaded" in message
    assert "requires the Somevision library). Install the library that it names." in message


@pytest.mark.parametrize("package", ["torchvision", "num2words"])
@pytest.mark.parametrize("there", [True, False])
def test_a_package_that_is_missing_is_named_with_its_extra(hub, monkeypatch, package, there):
    """And is not blamed where it is there."""

    def lacking(*_args, **_kwargs):
        raise ValueError(f"No class of this name: {package}: SomeImageProcessor")

    monkeypatch.setattr(AutoProcessor, "from_pretrained", lacking)
    monkeypatch.setattr("vlmlib.checkpoint.find_spec", lambda _: there or None)
    extra = f"Install {package}: pip install 'vlm-claims[vision]'"
    assert (extra in refused(hub["llava-1.5"][0])) is not there


OWN_CODE = """
from pathlib import Path
Path({marker!r}).write_text("run")
class Own: pass
OwnModel = OwnProcessor = OwnTokenizer = OwnImages = generate = Own
"""
TOKENIZER = "tokenizer_config.json"


MAPS = {
    "AutoConfig": "own.Own",
    "AutoModelForImageTextToText": "own.OwnModel",
    "AutoProcessor": "own.OwnProcessor",
    "AutoTokenizer": ["own.OwnTokenizer", "own.OwnTokenizer"],
    "AutoImageProcessor": "own.OwnImages",
}
PROCESSORS = ("processor_config.json", "preprocessor_config.json")
OWN: dict[str, tuple[dict[str, Any], str]] = {
    "a model": ({"config.json": {"model_type": "own"}}, "which is never run here"),
    "a processor": (
        {name: {"processor_class": "OwnProcessor"} for name in (*PROCESSORS, TOKENIZER)},
        "which is never run here",
    ),
    "a tokenizer": ({TOKENIZER: {"tokenizer_class": "OwnTokenizer"}}, ""),
    "an image processor": (
        {"preprocessor_config.json": {"image_processor_type": "OwnImages"}},
        "which is never run here",
    ),
    "what transformers has, too": ({}, ""),
}


@pytest.mark.parametrize(("own", "message"), OWN.values(), ids=OWN)
def test_code_that_a_checkpoint_brings_never_runs(copied, tmp_path, monkeypatch, own, message):
    """Nor is anybody asked whether it may; "y" would be the answer. Where transformers has what
    the checkpoint names, that is taken."""
    folder, marker = copied("llava-1.5"), tmp_path / "marker"
    for file in (folder / "own.py", folder / "custom_generate" / "generate.py"):
        file.parent.mkdir(exist_ok=True)
        file.write_text(OWN_CODE.format(marker=str(marker)))
    for file in ("config.json", *PROCESSORS, TOKENIZER):
        with_(file, auto_map=MAPS, **own.get(file, {}))(folder)
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    if message:
        assert message in refused(folder)
    else:
        assert VLM.load(folder).prompt == VICUNA_PROMPT
    assert not marker.exists()


@pytest.mark.parametrize("source", ["no/such/folder", "nowhere", "./nowhere", "~/no-such-folder"])
def test_a_source_that_is_neither_folder_nor_hub_id_is_refused(source):
    with pytest.raises(VLMError, match=r"There is no folder .*llava-hf/llava-1.5-7b-hf"):
        VLM.load(source)


def test_a_folder_has_no_revision(hub):
    assert "is a folder, which has no revision 'v1'" in refused(hub["llava-1.5"][0], revision="v1")


def test_a_file_in_place_of_its_folder_says_which_to_pass(hub):
    folder = hub["llava-1.5"][0]
    with pytest.raises(VLMError, match=f"but a file: pass its folder, '{folder}'"):
        VLM.load(folder / "config.json")
