"""Entropy of models' and policies' output: measured, selected by, controlled."""
