"""`make bench`: the figures that need no peer, on the machine at hand."""

from benchmarks import sharing

sharing.main()
