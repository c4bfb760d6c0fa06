"""Faults: of the store, of processes, of the network; and the checker of histories."""
