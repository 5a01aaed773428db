"""The same over many images: examples, data sets, a store of what was measured."""
