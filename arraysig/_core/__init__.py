"""Machinery between public functions and kernels; knows no signature mathematics."""
