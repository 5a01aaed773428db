"""Tests of the second paper's folder, claims/zhang2025."""

from pathlib import Path

from claimlib import load_claims

FOLDER = Path(__file__).parent.parent.parent / "claims" / "zhang2025"
CLAIMS = load_claims(FOLDER / "claims.toml")
