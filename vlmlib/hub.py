"""From an id on the Hugging Face hub to the commit that it stands for, and to a folder here."""

import re
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import Thread

from huggingface_hub import (
    HfApi,
    hf_hub_download,
    is_offline_mode,
    snapshot_download,
    try_to_load_from_cache,
)
from huggingface_hub.errors import (
    GatedRepoError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from vlmlib.errors import VLMError
from vlmlib.files import BESIDE_WEIGHTS, lacking

PATIENCE = 10.0  # seconds for the hub to answer; its own client waits for ever, or tries six times
CONFIG, COMMIT = "config.json", re.compile("[0-9a-f]{40}")
# Of a repository what a checkpoint is read from; never its pickles or its code.
READ = ["model*.safetensors", *(f"*{end}" for end in BESIDE_WEIGHTS)]


@cache
def commit_of(source: str, revision: str | None = None) -> str:
    """The commit that a hub id stands for: the one that is on this machine, else the newest.

    **Arguments:** the id; a branch, tag or commit, by default the main branch. A whole commit is
    itself, and nothing is asked.

    **Raises:** `VLMError` if it is neither here nor to be looked up.

    !!! example

        >>> commit_of("no id")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        vlmlib.errors.VLMError: 'no id' is no folder and could not be looked up ...
    """
    if revision and COMMIT.fullmatch(revision):
        return revision
    with _explained(source, revision):
        here = try_to_load_from_cache(source, CONFIG, revision=revision)
        if isinstance(here, str):
            return Path(here).parent.name
        return _answer(source, revision)


def config_of(source: str, commit: str) -> Path:
    """The configuration of a checkpoint on the hub, downloaded if it is not here.

    **Raises:** `VLMError` if it cannot be had.

    !!! example

        >>> config_of("no id", "main")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        vlmlib.errors.VLMError: 'no id' is no folder and could not be looked up ...
    """
    with _explained(source, commit):
        here = try_to_load_from_cache(source, CONFIG, revision=commit)
        if isinstance(here, str):
            return Path(here)
        _answer(source, commit)
        return Path(hf_hub_download(source, CONFIG, revision=commit))


def folder_of(source: str, commit: str) -> Path:
    """The folder on this machine with the files of a checkpoint on the hub, downloaded if they are
    not here.

    **Raises:** `VLMError` if they cannot be had.

    !!! example

        >>> folder_of("no id", "main")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        vlmlib.errors.VLMError: 'no id' is no folder and could not be looked up ...
    """
    with _explained(source, commit):
        here = _snapshot(source, commit)
    if here and not lacking(here):
        return here
    with _explained(source, commit):
        _answer(source, commit)
        return Path(snapshot_download(source, revision=commit, allow_patterns=READ))


def _snapshot(source: str, commit: str) -> Path | None:
    """What of a commit is on this machine, whole or not."""
    try:
        return Path(
            snapshot_download(source, revision=commit, allow_patterns=READ, local_files_only=True)
        )
    except LocalEntryNotFoundError:
        return None


def _answer(source: str, revision: str | None) -> str:
    """The commit of a revision, from the hub: asked once, and not for long.

    In a thread, since the client's own limit is one for each address of the hub, of which a
    firewall may swallow all.
    """
    answer: Future[str] = Future()

    def ask() -> None:
        try:
            info = HfApi().model_info(source, revision=revision, timeout=PATIENCE)
            answer.set_result(str(info.sha))
        except Exception as error:  # for whoever waits
            answer.set_exception(error)

    Thread(target=ask, daemon=True).start()
    try:
        return answer.result(PATIENCE)
    except TimeoutError:
        raise TimeoutError(f"no answer within {PATIENCE:g} seconds") from None


@contextmanager
def _explained(source: str, revision: str | None) -> Iterator[None]:
    """What the hub's client raises, as one message with the next step."""
    page = f"https://huggingface.co/{source}"
    try:
        yield
    except GatedRepoError as error:
        raise VLMError(
            f"{source!r} is gated: its owner wants its terms accepted. Accept them on {page}, then "
            "log in on this machine (hf auth login)."
        ) from error
    except RepositoryNotFoundError as error:
        raise VLMError(
            f"The hub has no model {source!r}, or a private one. Check the spelling; for a private "
            "one log in (hf auth login)."
        ) from error
    except RevisionNotFoundError as error:
        raise VLMError(
            f"{source!r} has no revision {revision!r} on the hub. Expected a branch, a tag or a "
            f"commit of {page}/commits/main."
        ) from error
    except Exception as error:  # the client has one for each way to fail, and so has what it reads
        offline = " (HF_HUB_OFFLINE is set: unset it)" if is_offline_mode() else ""
        reason = " ".join(str(error).split()) or type(error).__name__
        raise VLMError(
            f"{source!r} is no folder and could not be looked up on the hub ({reason}). Download "
            f"it where there is a network{offline} and pass the folder."
        ) from error
