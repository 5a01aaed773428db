"""Where and in which numbers a model runs: is what there is not refused before anything is read?

Fails if a device or a type that cannot be meant is found out by a traceback, or after the weights
were read.
"""

import pytest
import torch

from vlmlib import VLM, VLMError
from vlmlib.devices import device_of, devices_of, dtype_of, names_of, placed_on

GPUS = 2


@pytest.fixture
def gpus(monkeypatch) -> None:
    """A machine with two GPUs."""
    monkeypatch.setattr(
        torch.accelerator, "current_accelerator", lambda check_available: torch.device("cuda")
    )
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: GPUS)


@pytest.fixture
def no_gpu(monkeypatch) -> None:
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: None)


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("gpu", "There is no device 'gpu'. Expected one of this machine's: cpu."),
        ("", "There is no device ''."),
        ("cuda:x", "There is no device 'cuda:x'."),
        ("cuda:-1", "There is no device 'cuda:-1'."),
        ("CUDA", "There is no device 'CUDA'."),
        ("cpu,cuda", "There is no device 'cpu,cuda'."),
        ("cuda", "'cuda': this machine has no cuda, or this torch"),
        ("cuda:9", "'cuda:9': this machine has no cuda"),
        ("mps", "'mps': this machine has no mps"),
        ("xpu:0", "'xpu:0': this machine has no xpu"),
        ("meta", "'meta': the device meta holds no numbers. Choose one of this machine's: cpu."),
    ],
)
def test_a_device_that_there_is_not_is_refused(no_gpu, device, message):
    """Before anything is read: the folder is not there either."""
    with pytest.raises(VLMError) as told:
        VLM.load("./no/such/folder", device=device)
    assert message in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("device", ["cuda:2", "cuda:9"])
def test_a_gpu_too_many_is_refused_with_those_there_are(gpus, device):
    with pytest.raises(VLMError, match=r"there are 2 of its kind.*: cpu, cuda:0, cuda:1\.$"):
        device_of(device)


@pytest.mark.parametrize("device", ["cpu", "cuda", "cuda:0", "cuda:1"])
def test_a_device_that_there_is_is_taken(gpus, device):
    assert device_of(device) == device_of(torch.device(device)) == torch.device(device)


@pytest.mark.parametrize("dtype", ["float17", "int8", "half", "auto", "", torch.int8, "float64"])
def test_a_type_that_weights_have_not_is_refused(dtype):
    with pytest.raises(VLMError, match=r"cannot be loaded as .* one of float32, float16, bfloat16"):
        VLM.load("./no/such/folder", dtype=dtype)


def test_a_type_is_known_by_name_and_by_itself():
    assert dtype_of("float16") == dtype_of(torch.float16) == torch.float16


def test_auto_is_all_gpus_that_there_are(gpus, monkeypatch):
    both = [torch.device("cuda:0"), torch.device("cuda:1")]
    assert devices_of("auto") == both
    assert (names_of(both), names_of(both[1:])) == (("cuda:0", "cuda:1"), ("cuda",))
    assert devices_of("cuda:1") == both[1:]
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 1)
    monkeypatch.setattr("vlmlib.devices.find_spec", lambda name: None)  # nothing is spread
    assert devices_of("auto") == [torch.device("cuda")]


def test_auto_is_the_processor_where_there_is_no_gpu(no_gpu):
    assert devices_of("auto") == [torch.device("cpu")]


def test_auto_without_what_spreads_a_model_says_what_to_install(gpus, monkeypatch):
    monkeypatch.setattr("vlmlib.devices.find_spec", lambda name: None)
    told = r"over cuda:0, cuda:1 by accelerate, .* \(pip install accelerate\), or .*: cuda:0\.$"
    with pytest.raises(VLMError, match=told):
        VLM.load("./no/such/folder", device="auto")


def test_weights_on_no_device_are_refused_with_how_many():
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2, device="meta"))
    with pytest.raises(VLMError, match=r"2 of the 4 weights of Sequential are on no device"):
        placed_on(model)
    assert placed_on(model[0]) == [torch.device("cpu")]


def test_four_bits_without_their_library_say_what_to_install(monkeypatch):
    monkeypatch.setattr("vlmlib.devices.find_spec", lambda name: None)
    with pytest.raises(VLMError, match="pip install bitsandbytes accelerate"):
        VLM.load("./no/such/folder", dtype="4bit")
    monkeypatch.setattr("vlmlib.devices.find_spec", lambda name: name == "accelerate" or None)
    with pytest.raises(VLMError, match="4bit needs bitsandbytes, which is not installed"):
        dtype_of("4bit")
