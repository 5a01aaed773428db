"""Loads the plugin; gives each worker (-n) a GPU of its own; with VLM_CHECK_SHAPES=1, checks every
shape in vlmlib's signatures at run time."""

import os

from fixtures.gpus import take_one

take_one()  # before torch is imported, by whatever comes next

if os.environ.get("VLM_CHECK_SHAPES") == "1":
    from jaxtyping import install_import_hook

    install_import_hook(["claimlib", "vlmlib"], "tests.checked")

pytest_plugins = ["fixtures.plugin"]
