"""Proves what firmware is: what a build knows goes in, an SBOM and signed provenance come out; or a
bundle of files goes in, and out comes who built it, from what, or why that is not proven.

`strict` reads JSON that may be an attacker's, `dsse` is the envelope with the signature,
`statement` what it says, `sbom` the list of parts, `licences` finds their licences, `check` gives
the verdict, `compare` tells where two images begin to differ. Nothing here needs a network.
"""
