"""The science: one folder per paper."""
