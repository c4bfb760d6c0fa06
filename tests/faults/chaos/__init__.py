"""Faults, one after the other, under the eyes of watchers, pollers and bidders.

A scenario is a program with a seed. It starts real processes, lets a crowd at them, breaks something, mends it, and
then checks from the outside what must hold whatever breaks (`invariants`). `python -m tests.faults.chaos` runs all of
them many times; the tests run a short form of each.
"""
