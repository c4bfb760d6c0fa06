"""The JSON that clients see."""
