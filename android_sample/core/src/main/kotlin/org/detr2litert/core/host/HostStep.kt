package org.detr2litert.core.host

import org.detr2litert.core.BundleException
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
 * All shapes are known at compilation, so memory is allocated and invalid programs are refused there. Usage: fill the input
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
        val specs = inputSpecs.associateBy { it.name }
        for (name in program.inputs) {
            val spec = specs[name]
                ?: throw BundleException.unsupported("the host step reads '$name', which is not an output of graph a")
            val supported = spec.dtype in HostLimits.dtypes && spec.shape.size <= HostLimits.MAX_RANK && 0 !in spec.shape
            if (!supported) {
                throw BundleException.unsupported("the host step's input '$name' is ${spec.dtype.label}${spec.shape}")
            }
            assign(name, Tensor.of(spec), "the host step's input '$name'")
        }
        for (spec in program.constants) {
            val constant = constants[spec.name]
            if (constant == null || constant.shape != spec.shape || constant.dtype != spec.dtype) {
                val found = constant ?: "missing"
                throw BundleException.manifest(
                    "the host step's constant '${spec.name}' is $found, not ${spec.dtype.label}${spec.shape}",
                )
            }
            assign(spec.name, constant, "the host step's constant '${spec.name}'")
        }
        val fixed = program.constants.mapTo(HashSet()) { it.name }
        steps = program.ops.mapIndexedNotNull { number, op ->
            val label = "op $number '${op.op}' giving '${op.output}'"
            val inputs = op.inputs.map {
                tensors[it]
                    ?: throw BundleException.unsupported("host step $label reads '$it', which is not computed before it")
            }
            val call = OpCall(inputs, op.inputs.map { it in fixed }, Attributes(label, op), workers)
            val made = HostOps.make(op.op, call)
            assign(op.output, made.output, "host step $label")
            made.step
        }.toTypedArray()
        for (name in program.outputs) {
            if (name !in tensors) throw BundleException.unsupported("the host step's output '$name' is never computed")
        }
        if (program.outputs.toSet().size != program.outputs.size) {
            throw BundleException.unsupported("the host step's outputs name a tensor twice (${program.outputs.joinToString()})")
        }
    }

    private fun assign(name: String, tensor: Tensor, what: String) {
        if (name in tensors) throw BundleException.unsupported("$what assigns that name a second time")
        tensors[name] = tensor
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
