"""A report as pictures and pages, for people."""
