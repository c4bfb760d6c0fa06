"""Faults, one after the other, while watchers, pollers and bidders are active.

A scenario is a program with a seed. It starts real processes and a crowd of clients, breaks something, repairs it, and
then checks from the outside what must hold whatever breaks (`invariants`). `python -m tests.faults.chaos` runs all of
them many times; the tests run a short form of each.
"""
