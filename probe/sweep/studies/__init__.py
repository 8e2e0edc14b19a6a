"""What a sweep finds beside its ranking: few labels, planes, scores without labels, duplicates, implausible timings."""
