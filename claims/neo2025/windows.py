"""The paper's windows at 32 layers, 0-based and half-open (see `vlmlib.windows.named`)."""

# Table 2's L1-10, L5-14, L11-20, L15-24 and L21-31, read 1-based.
TEXT = {
    "early": (0, 10),
    "early-mid": (4, 14),
    "mid": (10, 20),
    "mid-late": (14, 24),
    "late": (20, 31),
    "all": (0, 32),
}
# The windows of the authors' code: "early-mid" to "late" are others than the text's.
AUTHORS = {
    "early": (0, 10),
    "early-mid": (5, 15),
    "mid": (11, 21),
    "mid-late": (15, 25),
    "late": (21, 32),
    "all": (0, 32),
}
