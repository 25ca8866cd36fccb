"""Carries out a build plan, on this machine (`native`) or in a container (`docker`).

A plan goes in, a built firmware and its log come out; `choose` picks the builder.
"""
