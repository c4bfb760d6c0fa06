"""Tools for those who change the service; no part of the wheel."""
