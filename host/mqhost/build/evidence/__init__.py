"""Writes down what a build has made, and from what; looks at that again, and builds it again.

`parts` lists what firmware is made of, `linked` what of it the linker took; `writing` makes the
SBOM and the provenance of that. `rebuild` builds a commit again, `locate` says what stands where
two images differ. The formats are the business of mqhost.attest.
"""
