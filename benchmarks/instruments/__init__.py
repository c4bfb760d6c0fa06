"""What measures: load, clocks and counters, without a question of their own. Each is tested in `tests/benchmarks/`.

- `generator`, `writer`, `receiver`   processes that watch, raise prices, and take webhooks; `workers` starts them
- `slow`, `exchange`                  readers on bad links; requests and replies on kept-alive connections
- `frames`, `freshness`               from bytes to prices, and from prices to figures
- `processes`                         what processes cost, from /proc
"""
