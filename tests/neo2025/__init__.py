"""The paper's folder and claims, and how an inner run of pytest gets the plugin that judges them."""

from importlib.metadata import entry_points
from pathlib import Path

from claimlib.claims import CLAIMS, load_claims

FOLDER = Path(__file__).parent.parent.parent / "claims" / "neo2025"
NEO2025 = load_claims(FOLDER / CLAIMS)
# As long as it is not installed with an entry point, the plugin is asked for by its name.
PLUGIN = () if entry_points(group="pytest11", name="claimlib") else ("-p", "claimlib.plugin")
