"""deepinv beside this library: its physics as operators, its measurements as observations and as a
problem, and a sampler here as one of its reconstructors. deepinv itself is not imported.
"""
