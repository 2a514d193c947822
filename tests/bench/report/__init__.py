"""Results for people: the table in the terminal, deploy/BENCHMARKS.md and its plots."""
