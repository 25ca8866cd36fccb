"""What CI uses and users may: benchmarks and the helpers of the workflow."""
