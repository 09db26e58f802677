"""One file for each figure; see `benchmarks/README.md` on how to add one."""
