"""Where rows come from, beside what their key holds: recorded with them, and never a reason to
measure again."""

import platform
import subprocess
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

HERE = Path(__file__).resolve().parent
DISTRIBUTION = "vlm-claims"


@dataclass(frozen=True)
class Origin:
    """What a unit was computed on and by; "" for what is not known.

    - `card`: the device's own name. `attention`: the backend. `system`: Python and what it runs on.
    - `suite`: the commit of this suite, or its version. `annotations`: the data file's hash.
    """

    card: str = ""
    attention: str = ""
    system: str = ""
    suite: str = ""
    annotations: str = ""


@cache
def suite() -> str:
    """The commit of this suite where it is a checkout, as `git describe` names it; the installed
    version otherwise, or "unknown".

    !!! example

        >>> suite() != ""
        True
    """
    # A copy within somebody else's checkout, such as in its .venv, is none of its files.
    if _git("ls-files", "--error-unmatch", Path(__file__).name):
        commit = _git("describe", "--always", "--dirty", "--tags", "--abbrev=12")
        if commit:
            return commit
    try:
        return f"{DISTRIBUTION} {metadata.version(DISTRIBUTION)}"
    except metadata.PackageNotFoundError:
        return "unknown"


@cache
def system() -> str:
    """Python and the operating system."""
    return f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"


@cache
def processor() -> str:
    """The processor's name, or its architecture where the platform does not tell one."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return (named or [platform.processor() or platform.machine()])[0]


def _git(*command: str) -> str:
    """What git says of this folder; "" where there is no git, or it says nothing."""
    try:
        run = subprocess.run(
            ["git", "-C", str(HERE), *command], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return ""
    return run.stdout.strip() if run.returncode == 0 else ""
