"""Which model is measured: does each thing that can change an answer change a model's key, and
nothing else, and is a checkpoint known without being loaded?

A key that misses something shows old numbers as new ones; a key that holds too much measures for
days again.
"""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
import torch
from PIL import Image
from tokenizers import processors

from tests.tiny import tiny_qwen, tiny_vlm
from vlmlib import VLM, VLMError
from vlmlib import hub as hub_module
from vlmlib.hub import commit_of
from vlmlib.study import Store, checkpoint, loaded
from vlmlib.study.example import file_key
from vlmlib.study.identity import model_key

FAMILIES = {"llava": tiny_vlm, "qwen": tiny_qwen}
families = pytest.mark.parametrize("make", FAMILIES.values(), ids=FAMILIES)


# The model.


@pytest.mark.slow
@families
def test_a_model_built_or_used_again_has_the_same_key(make):
    vlm = make()
    key = model_key(vlm)
    vlm.describe(vlm.read(Image.new("RGB", (30, 20)), "Hi?"), [[]], 2)
    vlm.model.requires_grad_(True)
    assert model_key(vlm) == key == model_key(make())
    assert model_key(make(seed=1)) != key


@families
def test_the_lowest_bit_of_any_one_weight_changes_the_key(make):
    vlm = make()
    keys = {model_key(vlm)}
    weights = list(vlm.model.state_dict().values())
    for weight in (weights[0], weights[len(weights) // 2], weights[-1]):
        bits = weight.view(torch.int32).flatten()
        bits[-1] ^= 1
        keys.add(model_key(vlm))
        bits[-1] ^= 1
    assert len(keys) == 4
    assert model_key(vlm) in keys


def zeroed(dtype: torch.dtype) -> VLM:
    vlm = tiny_vlm()
    for weight in vlm.model.parameters():
        weight.data.zero_()
    vlm.model.to(dtype)  # pyright: ignore[reportArgumentType]
    return vlm


def test_the_type_of_the_weights_is_in_the_key():
    """Even if their values and sizes are the same."""
    dtypes = (torch.float32, torch.float16, torch.bfloat16)
    assert len({model_key(zeroed(dtype)) for dtype in dtypes}) == 3


def moved(make) -> VLM:
    """Two weights of one shape have changed their places."""
    vlm = make()
    first, second = [
        each
        for name, each in vlm.model.named_parameters()
        if "language_model" in name and "up_proj" in name
    ]
    first.data, second.data = second.data, first.data
    return vlm


class Other(VLM):
    """A model of another class may read or answer otherwise."""


def with_config(make, change) -> VLM:
    vlm = make()
    change(vlm.model.config)
    return vlm


def with_tokenizer(change) -> VLM:
    vlm = tiny_vlm()
    change(vlm.processor.tokenizer)
    return vlm


def with_image_processor(make) -> VLM:
    vlm = make()
    vlm.processor.image_processor.image_mean = [0.5, 0.5, 0.25]
    return vlm


def with_prompt(make) -> VLM:
    vlm = make()
    return VLM(vlm.model, vlm.processor, vlm.prompt + " ")


@pytest.mark.slow
@families
@pytest.mark.parametrize(
    "other",
    [
        pytest.param(moved, id="weights in other places"),
        pytest.param(with_prompt, id="prompt"),
        pytest.param(lambda make: make("eager"), id="attention"),
        pytest.param(lambda make: Other(make().model, make().processor), id="class"),
        pytest.param(with_image_processor, id="image processor"),
        pytest.param(
            lambda make: with_config(
                make, lambda config: setattr(config.text_config, "rms_norm_eps", 1e-3)
            ),
            id="a value of the language model's configuration",
        ),
        pytest.param(
            lambda make: with_config(
                make, lambda config: setattr(config.vision_config, "hidden_act", "relu")
            ),
            id="a value of the image encoder's configuration",
        ),
        pytest.param(
            lambda make: with_config(
                make, lambda config: config.text_config.rope_parameters.update(rope_theta=2e4)
            ),
            id="a value within a value",
        ),
    ],
)
def test_what_determines_a_models_answers_is_in_its_key(make, other):
    assert model_key(other(make)) != model_key(make())


def renamed(tokenizer) -> None:
    """Two words have changed their ids."""
    words = tokenizer.get_vocab()
    words["▁car"], words["▁book"] = words["▁book"], words["▁car"]
    tokenizer.get_vocab = lambda: words


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda tokenizer: tokenizer.add_tokens(["maybe"]), id="a word more"),
        pytest.param(renamed, id="words with other ids"),
    ],
)
def test_the_tokenizers_vocabulary_is_in_the_key(change):
    assert model_key(with_tokenizer(change)) != model_key(tiny_vlm())


def test_what_the_tokenizer_adds_to_a_text_is_in_the_key():
    def adds_nothing(tokenizer):
        tokenizer.backend_tokenizer.post_processor = processors.Sequence([])

    plain, changed = tiny_vlm(), with_tokenizer(adds_nothing)
    ids = [len(each.read(Image.new("RGB", (30, 20)), "Hi?").input_ids) for each in (plain, changed)]
    assert ids[0] == ids[1] + 1
    assert model_key(changed) != model_key(plain)


def test_where_a_description_ends_is_in_the_key():
    """Only the generation settings know the token that ends a text."""
    plain, changed = tiny_vlm(), tiny_vlm()
    changed.model.generation_config.eos_token_id = [2, 5]
    assert plain._stop_ids() != changed._stop_ids()
    assert model_key(plain) != model_key(changed)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "value"), [("repetition_penalty", 1.2), ("num_beams", 2), ("stop_strings", ["dog"])]
)
def test_what_changes_a_greedy_text_is_in_the_key(name, value):
    """Of the generation settings, and what does not is not in it."""
    plain, changed = tiny_vlm(), tiny_vlm()
    changed.model.generation_config.temperature = 0.1
    assert model_key(plain) == model_key(changed)
    setattr(changed.model.generation_config, name, value)
    assert model_key(plain) != model_key(changed)


def test_one_checkpoint_has_one_key_wherever_it_lies(tmp_path):
    vlm = tiny_vlm()
    for part in (vlm.model, vlm.processor):
        part.save_pretrained(tmp_path / "here")
    shutil.copytree(tmp_path / "here", tmp_path / "there" / "again")
    here, there = (VLM.load(tmp_path / folder) for folder in ("here", "there/again"))
    assert model_key(here) == model_key(VLM.load(tmp_path / "here"))
    assert model_key(here) == model_key(there)


def test_a_model_that_is_loaded_is_known_by_its_key_and_gives_itself():
    vlm = tiny_vlm()
    handle = loaded(vlm)
    assert (handle.name, handle.dtype, handle.device) == (
        type(vlm.model).__name__,
        "float32",
        "cpu",
    )
    assert loaded(vlm, "tiny").name == "tiny"
    assert handle.load() is vlm
    assert handle.weights(file_key) == model_key(vlm)
    vlm.model.lm_head.weight.view(torch.int32)[0, 0] ^= 1
    assert handle.weights(file_key) == model_key(vlm)  # as it is, not as it was
    assert loaded(zeroed(torch.bfloat16)).dtype == "bfloat16"


# Checkpoint folders.


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    vlm, folder = tiny_vlm(), tmp_path_factory.mktemp("checkpoints") / "my-llava"
    for part in (vlm.model, vlm.processor):
        part.save_pretrained(folder)
    return folder


@pytest.fixture
def folder(saved, tmp_path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "my-llava"))


class Loads:
    """In place of `VLM.load`: remembers how it was called."""

    def __init__(self):
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, source: str, **options: Any) -> Any:
        self.calls.append((source, options))
        return SimpleNamespace(number=len(self.calls))


def key_of(folder: Path) -> str:
    """The key of a folder, which nothing loads."""
    loads = Loads()
    key = checkpoint(str(folder), load=loads).weights(file_key)
    assert loads.calls == []
    return key


def test_a_folder_is_known_without_being_loaded(folder, monkeypatch):
    monkeypatch.setattr(VLM, "load", None)
    assert len(key_of(folder)) == 64
    assert key_of(folder) == key_of(folder)


def test_a_folder_has_one_key_wherever_it_lies_and_whatever_it_is_called(folder, tmp_path):
    before = key_of(folder)
    elsewhere = folder.rename(tmp_path / "elsewhere")
    assert key_of(elsewhere) == before


NEEDED = {"config.json", "model.safetensors", "tokenizer.json", "processor_config.json"}


@pytest.mark.parametrize("place", [0.0, 0.5, 1.0], ids=["first", "middle", "last"])
def test_any_byte_of_what_is_loaded_changes_the_key_of_a_folder(folder, place):
    before, files = key_of(folder), sorted(folder.iterdir())
    assert {file.name for file in files} >= NEEDED
    keys = set()
    for file in files:
        original = file.read_bytes()
        content = bytearray(original)
        content[int(place * (len(content) - 1))] ^= 1
        file.write_bytes(content)
        keys.add(key_of(folder))
        file.write_bytes(original)
        assert key_of(folder) == before
    assert len(keys | {before}) == len(files) + 1


def test_a_weight_that_is_trained_further_changes_the_key_of_a_folder(folder):
    before = key_of(folder)
    tiny_vlm(seed=1).model.save_pretrained(folder)
    assert key_of(folder) != before


@pytest.mark.parametrize("name", ["chat_template.jinja", "model-2.safetensors", "added.json"])
def test_a_file_more_that_is_loaded_changes_the_key_of_a_folder(folder, name):
    before = key_of(folder)
    (folder / name).write_text("{}")
    added = key_of(folder)
    (folder / name).rename(folder / f"another-{name}")
    assert len({before, added, key_of(folder)}) == 3


@pytest.mark.parametrize("name", ["README.md", ".gitattributes", "old.bin", "runs/log.json"])
def test_what_lies_beside_a_checkpoint_does_not_change_its_key(folder, name):
    before = key_of(folder)
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("{}")
    assert key_of(folder) == before


def test_the_key_of_a_folder_is_kept_by_a_store(folder, tmp_path, monkeypatch):
    """So that 14 GB are not read at every start."""
    read, store = [], Store(tmp_path / "store")

    def counted(path: Path) -> str:
        read.append(path.name)
        return file_key(path)

    monkeypatch.setattr("vlmlib.study.store.LARGE", 1)
    monkeypatch.setattr("vlmlib.study.store.file_key", counted)
    handle = checkpoint(str(folder))
    assert handle.weights(store.file_key) == key_of(folder)
    once = sorted(read)
    assert handle.weights(store.file_key) == key_of(folder)
    assert sorted(read) == once == sorted(file.name for file in folder.iterdir())
    store.close()


def test_workers_of_one_run_hash_a_folder_once(folder, tmp_path, monkeypatch):
    """One reads its large files, the others wait for what it found."""
    read, keys = [], []

    def slow(path: Path) -> str:
        read.append(path.name)
        time.sleep(0.05)
        return file_key(path)

    def worker() -> None:
        with closing(Store(tmp_path / "store")) as store:
            keys.append(checkpoint(str(folder)).weights(store.file_key))

    monkeypatch.setattr("vlmlib.study.store.LARGE", 1)
    monkeypatch.setattr("vlmlib.study.store.file_key", slow)
    workers = [Thread(target=worker) for _ in range(3)]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    assert sorted(read) == sorted(file.name for file in folder.iterdir())
    assert len(keys) == 3
    assert len(set(keys)) == 1


def test_a_folder_is_hashed_once_in_a_run(folder):
    """However many measurements ask for its key, and whatever happens to its files meanwhile."""
    read, handle = [], checkpoint(str(folder))

    def counted(path: Path) -> str:
        read.append(path.name)
        return file_key(path)

    keys = [handle.weights(counted) for _ in range(3)]
    assert sorted(read) == sorted(file.name for file in folder.iterdir())
    assert len(set(keys)) == 1


def test_a_folder_goes_by_its_own_name_unless_it_has_another(folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert [checkpoint(str(each)).name for each in (folder, ".")] == ["my-llava"] * 2
    handle = checkpoint(str(folder), "tiny", "cuda", "float16")
    assert (handle.name, handle.device, handle.dtype) == ("tiny", "cuda", "float16")


def test_a_folder_is_loaded_as_it_was_asked_for(folder):
    loads = Loads()
    checkpoint(str(folder), "tiny", "cuda", "float16", loads).load()
    assert loads.calls == [(str(folder), {"device": "cuda", "dtype": "float16"})]


def test_a_handle_loads_its_model_once(folder, monkeypatch):
    """Unless what loads it is given, which then says itself how long a model stays."""
    loads = Loads()
    monkeypatch.setattr(VLM, "load", loads)
    handle = checkpoint(str(folder))
    assert loads.calls == []
    assert handle.load() is handle.load()
    assert len(loads.calls) == 1
    own = checkpoint(str(folder), load=loads)
    assert own.load() is not own.load()
    assert len(loads.calls) == 3


def test_a_handle_gives_the_model_of_its_folder(folder):
    assert model_key(checkpoint(str(folder)).load()) == model_key(VLM.load(folder))


# Ids on the hub.

COMMIT, NEWER = "a" * 40, "b" * 40


class Hub:
    """A hub: what it says of a model, and what of it lies in the cache on this machine."""

    def __init__(self, cache: Path):
        self.cache, self.asked = cache, []
        self.says: Callable[[str], str] = self.unreachable

    def unreachable(self, source: str) -> str:
        raise ConnectionError("no network")

    def download(self, source: str, commit: str) -> None:
        folder = self.cache / f"models--{source.replace('/', '--')}"
        for name, content in {"refs/main": commit, f"snapshots/{commit}/config.json": "{}"}.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(content)


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Iterator[Hub]:
    hub = Hub(tmp_path / "hub")

    def model_info(_, source: str, revision: str | None, timeout: float):
        hub.asked.append(source)
        return SimpleNamespace(sha=hub.says(source))

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(hub.cache))
    monkeypatch.setattr(hub_module.HfApi, "model_info", model_info)
    commit_of.cache_clear()
    yield hub
    commit_of.cache_clear()


def test_an_id_is_known_by_the_commit_that_is_on_this_machine(hub):
    hub.download("some/model", COMMIT)
    hub.says = lambda source: NEWER
    loads = Loads()
    handle = checkpoint("some/model", dtype="float16", load=loads)
    assert (handle.name, handle.weights(file_key)) == ("some/model", COMMIT)
    assert (loads.calls, hub.asked) == ([], [])
    handle.load()
    options = {"device": "cpu", "dtype": "float16", "revision": COMMIT}
    assert loads.calls == [("some/model", options)]


def test_a_version_of_an_id_is_the_one_that_is_loaded(hub):
    """A branch or tag by the commit that it stands for, a commit by itself."""
    hub.says = lambda source: NEWER
    for revision in ("v1", NEWER):
        loads = Loads()
        handle = checkpoint("some/model", load=loads, revision=revision)
        handle.load()
        assert handle.weights(file_key) == NEWER
        assert loads.calls[0][1]["revision"] == NEWER


def test_an_id_that_is_not_on_this_machine_is_looked_up_once(hub):
    hub.download("some/other", COMMIT)
    hub.says = lambda source: NEWER
    handle = checkpoint("some/model", load=Loads())
    assert [handle.weights(file_key) for _ in range(2)] == [NEWER] * 2
    assert hub.asked == ["some/model"]


def test_another_commit_is_another_key(hub):
    keys = set()
    for commit in (COMMIT, NEWER):
        commit_of.cache_clear()  # as a new process would see it
        hub.download("some/model", commit)
        keys.add(checkpoint("some/model").weights(file_key))
    assert keys == {COMMIT, NEWER}


def test_an_id_that_cannot_be_looked_up_is_named(hub):
    """Once its key or its model is asked for."""
    handle = checkpoint("some/model", load=Loads())
    for call in (lambda: handle.weights(file_key), handle.load):
        with pytest.raises(VLMError, match=r"'some/model' is no folder .*no network.* pass the fo"):
            call()
    hub.says = lambda source: COMMIT
    assert handle.weights(file_key) == COMMIT  # once there is a network


@pytest.mark.parametrize("source", ["/no/such/folder", "a/b/c", "--", "no such model"])
def test_what_is_neither_folder_nor_id_is_named(hub, source):
    with pytest.raises(VLMError, match=rf"^'{source}' is no folder and could not be looked up"):
        checkpoint(source).weights(file_key)
    assert hub.asked in ([], [source])
