"""What a delivered price costs and how fresh it is, next to peers of the same run. `python -m benchmarks` measures."""
