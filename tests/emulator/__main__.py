"""``env $(python -m tests.emulator) command``: run a command with the flavor ``asan``."""

from .build import sanitizer_environment

variables = {"ARRAYSIG_EMULATOR": "asan", **sanitizer_environment()}
print(" ".join(f"{name}={value}" for name, value in variables.items()))
