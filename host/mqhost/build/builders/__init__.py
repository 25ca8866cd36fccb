"""Who carries out a build plan: this machine (`native`) or a container (`docker`).

A plan goes in, a built firmware and its log come out; `choose` picks the builder.
"""
