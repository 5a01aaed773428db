"""The paper's folder and claims, for its tests."""

from pathlib import Path

from claimlib import load_claims

FOLDER = Path(__file__).parent.parent.parent / "claims" / "neo2025"
NEO2025 = load_claims(FOLDER / "claims.toml")
