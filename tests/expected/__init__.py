"""The compiler's result for every variant, as text for a diff.

``NAME.txt`` is made from a small relative of the variant (``tests.convert.shrunken``) with random weights. Nothing in it
depends on the weights' values or on the machine. So no ranges are measured: ``centre_coordinates`` and ``protect_sums``, which
need them, never fire here, and ``protect_layer_norm`` fires on every norm. The files show which detectors a change of a rewrite
affects, and how; ``make expected`` rewrites them.
"""
