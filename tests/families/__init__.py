"""Tiny random models of the families that transformers can load, each through its real classes:
model, processor, image processor, and a tokenizer made here."""

from tests.families import common, large

FAMILIES = [*common.FAMILIES, *large.FAMILIES]
