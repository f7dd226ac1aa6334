package org.detr2litert.detector.litert

import com.google.ai.edge.litert.CompiledModel
import com.google.ai.edge.litert.LiteRtException
import com.google.ai.edge.litert.TensorBuffer
import com.google.ai.edge.litert.TensorBufferRequirements
import org.detr2litert.core.engine.EngineException
import org.detr2litert.core.manifest.GraphSpec
import org.detr2litert.core.pipeline.GraphRunner
import org.detr2litert.core.tensor.ByteTensor
import org.detr2litert.core.tensor.FloatTensor
import org.detr2litert.core.tensor.IntTensor
import org.detr2litert.core.tensor.Tensor

/**
 * A graph compiled by LiteRT, with its buffers by the signature's tensor names.
 *
 * LiteRT's Kotlin API reads only into new arrays, so each [read] allocates one array of the output's size. Not thread-safe.
 *
 * @param boundInputs inputs whose buffers belong to another graph, which closes them.
 */
internal class CompiledGraph(
    private val spec: GraphSpec,
    private val model: CompiledModel,
    private val inputs: Map<String, TensorBuffer>,
    private val outputs: Map<String, TensorBuffer>,
    override val boundInputs: Set<String>,
) : GraphRunner {
    override fun write(name: String, tensor: Tensor) = named("write", name) {
        val buffer = inputs.getValue(name)
        when (tensor) {
            is FloatTensor -> buffer.writeFloat(tensor.data)
            is IntTensor -> buffer.writeInt(tensor.data)
            is ByteTensor -> buffer.writeInt8(tensor.data) // checks only how many, so unsigned ones are written too
        }
    }

    override fun run() = named("run", null) { model.run(inputs, outputs, spec.signature) }

    override fun read(name: String, into: Tensor) = named("read", name) {
        val buffer = outputs.getValue(name)
        when (into) {
            is FloatTensor -> fill(name, into, buffer.readFloat(), FloatArray::size)
            is IntTensor -> fill(name, into, buffer.readInt(), IntArray::size)
            is ByteTensor -> fail("'$name' of ${spec.file} is ${into.dtype.label}, which only an input may be")
        }
    }

    /** The buffer of output [name], or null if there is none. */
    fun outputBuffer(name: String): TensorBuffer? = outputs[name]

    fun outputRequirements(name: String): TensorBufferRequirements =
        model.getOutputBufferRequirements(name, spec.signature)

    /** Closes the graph's own buffers, then the model. */
    override fun close() {
        inputs.filterKeys { it !in boundInputs }.values.forEach { it.close() }
        outputs.values.forEach { it.close() }
        model.close()
    }

    private inline fun <T : Any> fill(name: String, into: Tensor, read: T, size: (T) -> Int) {
        if (size(read) != into.size) fail("'$name' of ${spec.file} has ${size(read)} elements, not ${into.size}")
        System.arraycopy(read, 0, into.storage, 0, into.size)
    }

    /** Runs [block]; builds the message only on failure, since this runs at every frame. */
    private inline fun named(action: String, tensor: String?, block: () -> Unit) {
        try {
            block()
        } catch (error: LiteRtException) {
            throw EngineException(
                EngineException.Kind.RUN,
                "LiteRT cannot $action ${tensor?.let {
                    "'$it' of "
                }.orEmpty()}${spec.file} (${error.message})",
                error,
            )
        }
    }

    private fun fail(problem: String): Nothing = throw EngineException(EngineException.Kind.RUN, problem)
}
