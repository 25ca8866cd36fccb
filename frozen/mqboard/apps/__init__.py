"""Keeps the user's application as a unit: a manifest and its files go in, beside those that run;
one write in NVS switches; the next boot tries it as it tries a firmware, or has the one before."""
