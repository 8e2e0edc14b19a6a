"""Wren, the bundled miniature backbone: its network and its training recipe."""
