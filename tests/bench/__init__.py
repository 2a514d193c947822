"""`make bench`: Postern against what is usually built in its place, side by side in one run. Linux, loopback only."""
