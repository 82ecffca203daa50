"""Readers of published corpora: one module each, with the verb `prepare`."""
