package org.detr2litert.core.pipeline

import org.detr2litert.core.tensor.Tensor

/**
 * One compiled graph with buffers of its own, made once. The pipeline drives it; what runs it is the app's affair (LiteRT
 * there, recorded tensors in tests).
 */
interface GraphRunner : AutoCloseable {
    /** Inputs that share another graph's output buffer, so that nobody needs to write them. */
    val boundInputs: Set<String>

    /** Copies [tensor] into the input buffer [name]. */
    fun write(name: String, tensor: Tensor)

    /** Runs the graph; may return before an accelerator is done, in which case [read] waits. */
    fun run()

    /** Copies the output buffer [name] into [into]. */
    fun read(name: String, into: Tensor)
}
