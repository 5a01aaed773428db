"""Ids on the hub: what a user is told whose id, version, rights or network are not what is needed,
how soon, and what is downloaded.

The hub is a server in this process. Fails if a hub that does not answer is waited for, if an error
of its client passes as it is, or if files are asked for that are here.
"""

import json
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import huggingface_hub
import pytest

from tests.layouts import llava_phi_3
from vlmlib import VLM, VLMError, hub
from vlmlib.checkpoint import half_precision
from vlmlib.hub import commit_of, folder_of

COMMIT, OTHER = "a" * 40, "b" * 40
API = "/api/models/some/model"


class Hub:
    """What the server has: answers by path, each a status, headers and a body; `asked` for."""

    def __init__(self, cache: Path):
        self.cache = cache
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.asked: list[str] = []
        self.silent = Event()  # while it is set, nothing is answered

    def says(self, path: str, status: int = 200, code: str = "", body: Any = None) -> None:
        headers = {"X-Error-Code": code} if code else {}
        self.answers[path] = (status, headers, json.dumps(body or {}).encode())

    def has(self, folder: Path) -> None:
        """Some model whose main branch is this folder."""
        for path in (API, f"{API}/revision/{COMMIT}"):
            self.says(path, body={"id": "some/model", "sha": COMMIT})
        files = [file for file in sorted(folder.iterdir()) if file.is_file()]
        tree = [
            {"type": "file", "path": each.name, "size": each.stat().st_size, "oid": each.name}
            for each in files
        ]
        self.says(f"{API}/tree/{COMMIT}", body=tree)
        for file in files:
            headers = {"ETag": f'"{file.name}"', "X-Repo-Commit": COMMIT}
            self.answers[f"/some/model/resolve/{COMMIT}/{file.name}"] = (
                200,
                headers,
                file.read_bytes(),
            )


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever gave up waiting hears no answer."""


@pytest.fixture
def server(tmp_path, monkeypatch) -> Iterator[Hub]:
    made = Hub(tmp_path / "cache")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            made.asked.append(f"{self.command} {path}")
            while made.silent.is_set():
                time.sleep(0.01)
            status, headers, body = made.answers.get(path, (404, {}, b"{}"))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:
            pass

    listening = Server(("127.0.0.1", 0), Handler)
    Thread(target=listening.serve_forever, args=(0.01,), daemon=True).start()
    endpoint = f"http://127.0.0.1:{listening.server_port}"
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(
        huggingface_hub.constants,
        "HUGGINGFACE_CO_URL_TEMPLATE",
        endpoint + "/{repo_id}/resolve/{revision}/{filename}",
    )
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(made.cache))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True, raising=False)
    commit_of.cache_clear()
    yield made
    made.silent.clear()
    commit_of.cache_clear()
    huggingface_hub.close_session()
    listening.shutdown()
    listening.server_close()


def told(call: Any, *arguments: Any, **options: Any) -> str:
    """The one paragraph that a user reads."""
    with pytest.raises(VLMError) as error:
        call(*arguments, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_misspelt_id_is_told_as_one(server):
    server.says(API, 404, "RepoNotFound")
    message = told(VLM.load, "some/model")
    assert message == (
        "The hub has no model 'some/model', or a private one. Check the spelling; for a private "
        "one log in (hf auth login)."
    )


def test_an_id_that_nobody_may_see_unasked_is_told_so(server):
    """What the hub answers about an unknown id to who is not logged in."""
    server.says(API, 401, "RepoNotFound")
    assert "The hub has no model 'some/model', or a private one." in told(commit_of, "some/model")


def test_a_gated_id_says_where_its_terms_are(server, tmp_path):
    """Its description is open to all, its files are not."""
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "config.json").write_text("{}")
    server.has(tmp_path / "files")
    server.answers[f"/some/model/resolve/{COMMIT}/config.json"] = (
        403,
        {"X-Error-Code": "GatedRepo"},
        b"{}",
    )
    message = told(VLM.load, "some/model")
    assert "'some/model' is gated" in message
    assert "Accept them on https://huggingface.co/some/model, then log in" in message


def test_a_revision_that_there_is_not_is_named(server):
    server.says(f"{API}/revision/v7", 404, "RevisionNotFound")
    message = told(VLM.load, "some/model", revision="v7")
    assert "'some/model' has no revision 'v7' on the hub. Expected a branch, a tag or a" in message


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_hub_that_is_down_is_told_at_once(server, status):
    server.says(API, status)
    begun = time.monotonic()
    message = told(VLM.load, "some/model")
    assert "could not be looked up on the hub (" in message
    assert str(status) in message
    assert message.endswith("Download it where there is a network and pass the folder.")
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize("body", [b"<html>Please sign in</html>", b"null", b"[]", b"{}"])
def test_an_answer_that_is_no_hubs_is_told(server, body):
    """As of a hotel's network."""
    server.answers[API] = (200, {}, body)
    assert "'some/model' is no folder and could not be looked up" in told(VLM.load, "some/model")


def test_a_hub_that_does_not_answer_is_not_waited_for(server, monkeypatch):
    """For longer than `PATIENCE`, whatever is asked of it, and one time."""
    monkeypatch.setattr(hub, "PATIENCE", 0.3)
    server.silent.set()
    for call in (VLM.load, half_precision, lambda each: folder_of(each, COMMIT)):
        server.asked.clear()
        begun = time.monotonic()
        assert "is no folder and could not be looked up on the hub" in told(call, "some/model")
        assert time.monotonic() - begun < 3
        assert len(server.asked) == 1
    assert hub.PATIENCE < 15


def test_a_firewall_that_swallows_every_address_is_not_waited_for(server, monkeypatch):
    """The client tries one address after the other, each for as long as it may."""
    monkeypatch.setattr(hub, "PATIENCE", 0.2)
    swallowed = Event()
    monkeypatch.setattr(hub.HfApi, "model_info", lambda *_, **__: swallowed.wait(5))
    begun = time.monotonic()
    assert "(no answer within 0.2 seconds). Download it where" in told(VLM.load, "some/model")
    assert time.monotonic() - begun < 2
    swallowed.set()


def test_a_machine_without_a_network_is_told_what_to_do(server, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    begun = time.monotonic()
    message = told(VLM.load, "some/model")
    assert "Download it where there is a network and pass the folder." in message
    assert time.monotonic() - begun < 5


def test_that_the_hub_was_switched_off_is_told(server, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE is set: unset it" in told(VLM.load, "some/model")


def test_a_model_of_the_hub_is_downloaded_once_and_loaded(server, tmp_path):
    """Its float weights and settings alone, at the commit that was looked up; then from here."""
    folder = tmp_path / "files"
    llava_phi_3(folder)
    (folder / "pytorch_model.bin").write_bytes(b"no pickle is asked for")
    (folder / "consolidated.safetensors").write_bytes(b"nor are the weights once more")
    (folder / "modeling.py").write_text("raise SystemExit('no code is asked for')")
    server.has(folder)
    assert half_precision("some/model") == "float16"
    first = VLM.load("some/model")
    names = {path.rpartition("/")[2] for path in server.asked if "/resolve/" in path}
    others = {"pytorch_model.bin", "modeling.py", "consolidated.safetensors"}
    assert names == {file.name for file in folder.iterdir()} - others
    server.asked.clear()
    second = VLM.load("some/model", revision=COMMIT)
    assert server.asked == []
    assert first.prompt == second.prompt
    assert commit_of("some/model") == COMMIT


def test_a_branch_is_looked_up_and_a_commit_is_itself(server):
    server.says(f"{API}/revision/v1", body={"id": "some/model", "sha": OTHER})
    assert commit_of("some/model", "v1") == commit_of("some/model", "v1") == OTHER
    assert commit_of("some/model", COMMIT) == COMMIT
    assert len(server.asked) == 1


def test_a_commit_that_there_is_not_is_named_when_it_is_loaded(server):
    server.says(f"{API}/revision/{OTHER}", 404, "RevisionNotFound")
    assert f"has no revision '{OTHER}' on the hub" in told(VLM.load, "some/model", revision=OTHER)
