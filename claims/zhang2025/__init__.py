"""Cross-modal information flow: through which positions does an image reach the answer?"""
