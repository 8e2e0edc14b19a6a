"""Networks that are fine-tuned (torch): the members of a blend, and Wren, the bundled miniature backbone.

The one package beside `heads` that imports torch. It uses `features` and `analysis` and no other package.
"""
