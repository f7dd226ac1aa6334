package org.detr2litert.core.pipeline

/** What a frame's time goes to, in the order of the work; [label] is what result.json and the HUD call it. */
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
}
