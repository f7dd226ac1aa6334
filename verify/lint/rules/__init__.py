"""The checks behind the rows of op_support.json, grouped by what the delegate does with a hit."""
