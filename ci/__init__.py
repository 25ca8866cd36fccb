"""Holds what CI uses and users may: benchmarks, attacks, and the helpers of the workflow."""
