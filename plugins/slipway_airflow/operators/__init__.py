"""One operator for each step of the way, named for it."""
