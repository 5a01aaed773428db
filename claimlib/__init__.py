"""The court: samples in, verdicts out."""
