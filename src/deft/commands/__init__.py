"""The commands of `deft`: one module each, with a function of the same name whose typed arguments
are the options.
"""
