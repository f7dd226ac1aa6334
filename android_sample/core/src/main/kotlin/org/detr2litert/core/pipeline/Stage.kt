package org.detr2litert.core.pipeline

/** The timed stages of a frame, in execution order; [label] is the name in result.json. Graph M may run several times. */
enum class Stage(val label: String) {
    PREPROCESS("preprocess"),
    WRITE_A("write_a"),
    RUN_A("run_a"),
    READ_A("read_a"),
    HOST("host"),
    WRITE_B("write_b"),
    RUN_B("run_b"),
    READ_B("read_b"),
    DECODE("decode"),
    WRITE_M("write_m"),
    RUN_M("run_m"),
    READ_M("read_m"),
    MASKS("masks"),
    ;

    companion object {
        /** The stages between pre-processing and decoding, of one graph and of two; then those of a call of graph M. */
        val OF_ONE_GRAPH = listOf(WRITE_A, RUN_A, READ_A)
        val OF_TWO_GRAPHS = OF_ONE_GRAPH + listOf(HOST, WRITE_B, RUN_B, READ_B)
        val OF_GRAPH_M = listOf(WRITE_M, RUN_M, READ_M)
    }
}
