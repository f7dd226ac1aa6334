"""Static int8: pictures to calibrate on, the ranges that they give, and the blocks of a graph that stay in floats."""
