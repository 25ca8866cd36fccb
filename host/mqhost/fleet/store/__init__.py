"""Keeps rollouts in a database: states and images go in, one transaction for each change, and come
out again in whichever process drives next. SQLAlchemy is imported here only.
"""
