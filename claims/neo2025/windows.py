"""The paper's windows at 32 layers, 0-based and half-open (see `vlmlib.windows.named`)."""

# Those that the authors ran, from which the printed figures come: layers 0-9, 5-14, 11-20, 15-24,
# 21-31 and 0-31. Table 2's headings are these numbers as they stand, but for "L1-10".
RUN = {
    "early": (0, 10),
    "early-mid": (5, 15),
    "mid": (11, 21),
    "mid-late": (15, 25),
    "late": (21, 32),
    "all": (0, 32),
}
# Table 2's headings L1-10, L5-14, L11-20, L15-24 and L21-31, all read 1-based.
ONE_BASED = {
    "early": (0, 10),
    "early-mid": (4, 14),
    "mid": (10, 20),
    "mid-late": (14, 24),
    "late": (20, 31),
    "all": (0, 32),
}
