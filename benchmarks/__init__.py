"""What auditkit costs beside its peers, in CPU time and memory: `python -m benchmarks`."""
