"""Stands between clients and a broker for tests and figures: late, lossy, or faulty."""
