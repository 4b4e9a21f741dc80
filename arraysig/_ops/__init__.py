"""One file per topic: the rows of the operations."""
