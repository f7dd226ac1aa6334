"""What the compiler makes of every variant, as text to be read in a diff.

``NAME.txt`` is made from a small relative of the variant (``tests.convert.shrunken``) with random weights. Nothing in it
depends on the weights' values or on the machine. So no picture is measured: ``centre_coordinates`` and ``protect_sums``, which
go by measured ranges, never fire here, and ``protect_layer_norm`` fires on every norm. The files show which detectors a change
of a rewrite touches, and how; ``make expected`` writes them anew.
"""
