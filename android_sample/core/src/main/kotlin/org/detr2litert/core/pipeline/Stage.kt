package org.detr2litert.core.pipeline

/** The timed stages of a frame, in execution order; [label] is the name in result.json. */
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
    ;

    companion object {
        /** The stages of a bundle of one graph, between pre-processing and decoding. */
        val OF_ONE_GRAPH = listOf(WRITE_A, RUN_A, READ_A)
    }
}
