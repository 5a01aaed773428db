"""Tiny random models of the families that transformers can load, each through its real classes:
model, processor, image processor, and a tokenizer made here."""

from tests.families import common, documents, early, large, siblings

PARTS = (common, early, documents, siblings, large)
FAMILIES = [family for part in PARTS for family in part.FAMILIES]
