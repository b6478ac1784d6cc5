"""Chips around Unicorn's processors, their registers modelled. Each is written from its maker's
documents and apart from the firmware's drivers: what those must not do ends the run with a line
that says why.
"""
