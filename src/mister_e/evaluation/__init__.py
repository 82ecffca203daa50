"""Scores, and how sure they are."""
