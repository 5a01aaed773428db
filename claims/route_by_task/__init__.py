"""Through which positions does the answer come? Two papers that seem to contradict each other, on
the same images."""
