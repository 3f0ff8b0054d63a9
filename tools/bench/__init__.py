"""Benchmarks of the gateway beside stunnel and HAProxy: `make bench`, explained in docs/bench.md."""
