"""Tests of the contrast of two papers."""

from claimlib import load_claims
from tests.house import ROOT

FOLDER = ROOT / "claims" / "route_by_task"
CLAIMS = load_claims(FOLDER / "claims.toml")
