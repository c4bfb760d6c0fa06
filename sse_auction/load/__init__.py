"""The load test: streams and bidders on httpx against any deployment, and a report of what they measured.

`figures` counts and is pure; `viewer` is one watcher, `bidding` all bidders; `drive` starts them and watches its own
process; `report` judges; `screen` shows. It knows the service only by its HTTP interface.
"""
