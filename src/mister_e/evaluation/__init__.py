"""Scores of runs, model folders, baselines and ablations, with intervals."""
