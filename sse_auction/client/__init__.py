"""A service from Python: over HTTP, or straight to the store."""
