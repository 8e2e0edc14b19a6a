"""Pictures of a finished run: matplotlib from tables only, one figure a module, `gallery` maps names to functions.

Everything is drawn with the object API (`Figure()`, never pyplot), so importing this package touches no display, and
the same run gives the same bytes every time.
"""
