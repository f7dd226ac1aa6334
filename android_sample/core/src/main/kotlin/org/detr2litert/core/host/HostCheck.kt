package org.detr2litert.core.host

import org.detr2litert.core.BundleException
import org.detr2litert.core.manifest.HostOp
import org.detr2litert.core.manifest.HostProgram
import org.detr2litert.core.tensor.TensorSpec

/**
 * Checks a host program once, before anything is allocated: names, ops, attributes, every type and shape, and the memory and time
 * that it takes. `host_runtime/host_program.py` checks the same, and `host_runtime/host_table.py` describes the limits.
 */
internal class HostCheck private constructor(private val program: HostProgram, inputSpecs: List<TensorSpec>) {
    private val specs = inputSpecs.associateBy { it.name }
    private val kinds = LinkedHashMap<String, Kind>()
    private var elements = 0L
    private var work = 0L

    private fun kinds(): Map<String, Kind> {
        for (name in program.inputs) {
            val spec = specs[name]
                ?: throw BundleException.unsupported("the host step reads '$name', which is not an output of graph a")
            assign(name, Kind(spec.dtype, spec.shape), "the host step's input '$name'")
        }
        for (spec in program.constants) {
            assign(spec.name, Kind(spec.dtype, spec.shape), "the host step's constant '${spec.name}'")
        }
        if (program.ops.size > HostLimits.MAX_OPS) {
            throw BundleException.manifest("the host step has ${program.ops.size} ops, more than ${HostLimits.MAX_OPS}")
        }
        val given = kinds.values.sumOf { it.elements }
        val limit = maxOf(
            HostLimits.FREE_ELEMENTS,
            HostLimits.MAX_GROWTH * given,
        ).coerceAtMost(HostLimits.MAX_ELEMENTS.toLong())
        program.ops.forEachIndexed { number, op -> add(label(number, op), op, limit) }
        for (name in program.outputs) {
            if (name !in kinds) throw BundleException.unsupported("the host step's output '$name' is never computed")
        }
        if (program.outputs.toSet().size != program.outputs.size) {
            throw BundleException.unsupported("the host step's outputs name a tensor twice (${program.outputs.joinToString()})")
        }
        return kinds
    }

    private fun add(label: String, op: HostOp, limit: Long) {
        val inputs = op.inputs.map {
            kinds[it] ?: throw BundleException.unsupported("host step $label reads '$it', which is not computed before it")
        }
        val attributes = Attributes(label, op)
        val rule = HostOps.table[op.op] ?: attributes.fail("is not an op that this app knows")
        val result = rule.result(inputs, attributes)
        assign(op.output, result, "host step $label")
        elements += result.elements
        work += result.elements * if (rule.shape === HostShapes.linear) inputs[0].shape.last() else 1
        if (elements > limit) {
            throw BundleException.manifest(
                "host step $label brings what the host step computes to $elements elements, more than the $limit that its " +
                    "inputs and constants justify",
            )
        }
        if (work > HostLimits.MAX_WORK) {
            throw BundleException.manifest(
                "host step $label brings the host step to $work multiply-adds, more than ${HostLimits.MAX_WORK}",
            )
        }
    }

    private fun assign(name: String, kind: Kind, what: String) {
        if (name in kinds) throw BundleException.unsupported("$what assigns that name a second time")
        val supported = kind.dtype in HostLimits.dtypes && kind.rank <= HostLimits.MAX_RANK && 0 !in kind.shape
        if (!supported) throw BundleException.unsupported("$what is $kind")
        kinds[name] = kind
    }

    private fun checkOutputs(specs: List<TensorSpec>) {
        val read = specs.associate { it.name to Kind(it.dtype, it.shape) }
        for (name in program.outputs) {
            val wanted = read[name]
                ?: throw BundleException.manifest("the host step's output '$name' is not an input of graph b")
            if (kinds[name] != wanted) {
                throw BundleException.manifest("the host step gives '$name' as ${kinds[name]}, but graph b reads $wanted")
            }
        }
    }

    companion object {
        /**
         * @param inputSpecs graph A's outputs.
         * @param outputSpecs graph B's inputs, of which each output of the program must be one; anything may be an output if null.
         * @return the type and shape of every tensor by name.
         * @throws BundleException for a program that cannot run, or that would take more than it may.
         */
        fun check(
            program: HostProgram,
            inputSpecs: List<TensorSpec>,
            outputSpecs: List<TensorSpec>? = null,
        ): Map<String, Kind> {
            val check = HostCheck(program, inputSpecs)
            return check.kinds().also { if (outputSpecs != null) check.checkOutputs(outputSpecs) }
        }

        /** Names an op in messages. */
        fun label(number: Int, op: HostOp): String = "op $number '${op.op}' giving '${op.output}'"
    }
}
