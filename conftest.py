"""Loads the plugin; with VLM_CHECK_SHAPES=1, checks every shape in vlmlib's signatures at run
time."""

import os

if os.environ.get("VLM_CHECK_SHAPES") == "1":
    from jaxtyping import install_import_hook

    install_import_hook(["claimlib", "vlmlib"], "tests.checked")

pytest_plugins = ["fixtures.plugin"]
