"""Sources shared by the C extension and the CUDA compiler, read as package data."""
