"""Tests talk to a real server over a real socket, to a real store, and through a real browser."""
