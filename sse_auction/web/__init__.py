"""The HTTP side: one module per family of routes, each of which turns requests into calls of hub and store."""
