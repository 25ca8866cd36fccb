"""Has a project of the user's own: a folder outside of MQBoard's checkout, with an application,
boards, a manifest, modules in C, that mqboard works in as it does here.
"""
