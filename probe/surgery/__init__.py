"""Graph surgery: taps exposed as outputs, pooled in the graph, front ends folded; every change verified."""
