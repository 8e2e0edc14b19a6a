"""Steps of the published chain that look at two members' tables, or at what the classes are to one another.

`mixing` brings further members in, `spikes` asks whether the members agree, `classes` treats kinds of animals apart.
The public descriptions of that chain name weights and kernels, seldom thresholds; each docstring says which numbers are
theirs and which are ours. A step holds the tables of the members that it asks; it finds their rows and columns by name.
"""
