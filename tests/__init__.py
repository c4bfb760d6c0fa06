"""Tests talk to a real server over a real socket, to a real store, and through a real browser.

`auction/ store/ delivery/ web/ cli/ load/` are for the packages of `sse_auction/`, `service/` for the modules at its
top. `browser/` has the pages in a real browser, `faults/` what breaks, `javascript/` the unit tests of `static/`,
`benchmarks/` the instruments of the benchmarks, `project/` the project itself. `support/` has what tests share. It
imports no test; a test imports no other one.
"""
