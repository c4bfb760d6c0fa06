"""The instruments of the benchmarks, and the benchmarks as a whole."""
