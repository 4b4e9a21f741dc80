"""Benchmarks: arraysig against the peer library and against the machine. See README.md."""
