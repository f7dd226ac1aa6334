package org.detr2litert.core

import org.detr2litert.core.pipeline.GraphRunner
import org.detr2litert.core.tensor.Tensor

/** A graph that replays recorded tensors. */
class RecordedGraph(private val outputs: Map<String, Tensor>, override val boundInputs: Set<String> = emptySet()) :
    GraphRunner {
    val written = HashMap<String, Tensor>()
    val wasRead = HashSet<String>()
    var ran = 0
    var closed = false

    fun recorded(name: String): Tensor = outputs.getValue(name)

    override fun write(name: String, tensor: Tensor) {
        written[name] = tensor
    }

    override fun run() {
        ran++
    }

    override fun read(name: String, into: Tensor) {
        wasRead += name
        HostCases.copy(outputs.getValue(name), into)
    }

    override fun close() {
        closed = true
    }
}
