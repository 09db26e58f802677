"""Bad days, each as a command with counters: `python -m tests.faults [NAME…] [--dburl URL]`. `make test` runs a bounded
form of each."""
