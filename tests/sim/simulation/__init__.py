"""A world in one process: the real cores and the real journal, joined by channels that lose things.

`processes` has the two programs, `world` what can be done to them, line by line of text (a scenario); `oracle` watches
what a person could watch and knows the promises; `schedule` makes up scenarios from a seed.
"""
