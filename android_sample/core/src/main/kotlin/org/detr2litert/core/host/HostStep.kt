package org.detr2litert.core.host

import org.detr2litert.core.BundleException
import org.detr2litert.core.Workers
import org.detr2litert.core.manifest.HostProgram
import org.detr2litert.core.tensor.Tensor
import org.detr2litert.core.tensor.TensorSpec

/** A compiled op with its tensors bound; running it allocates nothing. */
internal fun interface Step {
    fun run()
}

/**
 * The query selection between the graphs, compiled from the manifest's program.
 *
 * All shapes are known at compilation, so memory is allocated there, after [HostCheck] has refused invalid and excessive programs. Usage: fill the input
 * tensors ([tensor]), call [run], read the output tensors.
 * Semantics op by op: `host_runtime/host_ops.json`, and [HostOps] here.
 *
 * @param program the manifest's host step.
 * @param constants the tensors of program.constants by name.
 * @param inputSpecs shapes and types of graph A's outputs, among them program.inputs.
 * @param workers for the matrix products; closed by the caller.
 * @throws BundleException for an unknown op, wrong inputs, attributes, types or shapes, or a missing constant.
 */
class HostStep(
    private val program: HostProgram,
    constants: Map<String, Tensor>,
    inputSpecs: List<TensorSpec>,
    workers: Workers,
) {
    private val tensors = HashMap<String, Tensor>()
    private val steps: Array<Step>

    init {
        val kinds = HostCheck.check(program, inputSpecs)
        for (name in program.inputs) {
            tensors[name] =
                Tensor.of(TensorSpec(name, kinds.getValue(name).shape, kinds.getValue(name).dtype))
        }
        for (spec in program.constants) {
            val constant = constants[spec.name]
            if (constant == null || constant.shape != spec.shape || constant.dtype != spec.dtype) {
                val found = constant ?: "missing"
                throw BundleException.manifest(
                    "the host step's constant '${spec.name}' is $found, not ${spec.dtype.label}${spec.shape}",
                )
            }
            tensors[spec.name] = constant
        }
        val fixed = program.constants.mapTo(HashSet()) { it.name }
        steps = program.ops.mapIndexedNotNull { number, op ->
            val attributes = Attributes(HostCheck.label(number, op), op)
            val shape = kinds.getValue(op.output).shape
            val inputs = op.inputs.map(tensors::getValue)
            val made = HostOps.table.getValue(op.op).make(
                OpCall(
                    inputs,
                    op.inputs.map {
                        it in fixed
                    },
                    attributes,
                    workers,
                    shape,
                ),
            )
            tensors[op.output] = made.output
            made.step
        }.toTypedArray()
    }

    /** Names of the program's inputs and outputs. */
    val inputNames: List<String> get() = program.inputs
    val outputNames: List<String> get() = program.outputs

    /** An input or a computed tensor; the same object at every call. */
    fun tensor(name: String): Tensor = requireNotNull(tensors[name]) { "the host step has no tensor '$name'" }

    /**
     * Runs the program on the current content of its inputs.
     *
     * @throws org.detr2litert.core.GraphOutputException if an index is outside the tensor that it indexes.
     */
    fun run() {
        for (step in steps) step.run()
    }
}
