"""Readers of transcript files: one module a family of formats, each from text to rows."""
