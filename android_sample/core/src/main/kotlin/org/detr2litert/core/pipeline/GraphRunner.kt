package org.detr2litert.core.pipeline

import org.detr2litert.core.tensor.Tensor

/**
 * A compiled graph with its buffers. The implementation is LiteRT in the app and recorded tensors in tests.
 */
interface GraphRunner : AutoCloseable {
    /** Inputs that share another graph's output buffer and need not be written. */
    val boundInputs: Set<String>

    /** Copies [tensor] into the input buffer [name]. */
    fun write(name: String, tensor: Tensor)

    /** Runs the graph; may return before an accelerator is done, in which case [read] waits. */
    fun run()

    /** Copies the output buffer [name] into [into]. */
    fun read(name: String, into: Tensor)
}
