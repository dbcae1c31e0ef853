"""Entrol for PyTorch."""
