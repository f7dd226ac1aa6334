"""Machinery of the pass ``reduce_rank``: lazy views, their materialisation, and one module per class of op."""
