"""claims.toml: is it valid, does each entry have exactly one test, and does a broken file say what is wrong?"""

import re
from pathlib import Path

import pytest

from fixtures.claims import CLAIMS_FILE, load_claims
from fixtures.models import MODELS, SHIPPED, label_of, source_of
from vlmlib import VLMError

CLAIMS = load_claims()
GOOD = """
[a-claim]
statement = "s"
section = "3"
source = "table 1"
kind = "exceeds"
threshold = 0.5
bound_source = "the paper"
models = ["llava-1.5-7b"]
shipped = true
"""


def test_every_claim_has_exactly_one_test_and_every_test_a_claim():
    code = "".join(file.read_text() for file in sorted(CLAIMS_FILE.parent.glob("test_*.py")))
    ids = re.findall(r'@pytest\.mark\.claim\("([^"]+)"\)\ndef test_', code)
    assert sorted(ids) == sorted(CLAIMS)
    assert len(ids) == len(re.findall(r"^def test_", code, flags=re.MULTILINE))


def test_every_claim_says_where_it_stands_and_where_its_bound_comes_from():
    assert CLAIMS["object-buffer-polling"].bound == 0.5
    for claim in CLAIMS.values():
        assert claim.source.strip()
        assert claim.bound_source.strip()
        assert claim.models


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('kind = "exceeds"', 'kind = "is nice"', r"\[a-claim\]: kind is 'is nice'; expected one of exceeds"),
        ('source = "table 1"\n', "", r"\[a-claim\]: key 'source' is missing"),
        ("threshold", "margin", r"\[a-claim\]: key 'margin' is unknown"),
        ("0.5", "50.0", r"\[a-claim\]: threshold is 50.0; expected a share"),
        ("llava-1.5-7b", "gpt", r"\[a-claim\]: model 'gpt' is none of"),
        ("[a-claim]", "[a-claim", "cannot be read as TOML"),
    ],
)
def test_a_broken_file_names_the_entry_and_what_is_wrong(tmp_path: Path, old, new, message):
    file = tmp_path / "claims.toml"
    file.write_text(GOOD)
    assert load_claims(file)["a-claim"].bound == 0.5
    file.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(VLMError, match=message):
        load_claims(file)


def test_a_model_is_a_name_a_folder_or_a_hub_id(tmp_path: Path):
    assert source_of("llava-1.5-7b") == "llava-hf/llava-1.5-7b-hf"
    assert source_of(str(tmp_path)) == str(tmp_path)
    assert source_of("me/my-llava") == "me/my-llava"
    assert [label_of(each) for each in (SHIPPED, str(tmp_path), "me/my-llava")] == [
        SHIPPED,
        tmp_path.name,
        "me/my-llava",
    ]
    assert Path(MODELS[SHIPPED]).is_dir()
