"""The checks behind the rows of op_support.json, by what the delegate does with what they find."""
