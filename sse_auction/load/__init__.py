"""The load test: streams and bidders on httpx against any deployment, and what they saw of it.

`figures` counts and is pure; `viewer` and `bidding` are what one watcher and all bidders do; `drive` ramps them and
watches its own process; `report` judges; `screen` shows. It knows the service by its HTTP interface only.
"""
