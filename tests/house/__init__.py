"""The rules of the house, and whether its pages tell the truth."""
