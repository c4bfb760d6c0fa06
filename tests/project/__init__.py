"""The project itself: its sources, documents, package, hooks and workflow."""
