package org.detr2litert.core.host

import org.detr2litert.core.BundleException
import org.detr2litert.core.manifest.HostOp

/** An op's attributes: checked against their rules, then read by type. Every error names the op. */
internal class Attributes(private val label: String, private val op: HostOp) {
    /** Refuses unknown and missing attributes, and types and values that [rules] do not allow. */
    fun check(rules: Map<String, AttributeRule>) {
        val given = op.attributes.keys
        val required = rules.filterValues { !it.optional }.keys
        val wrong = (required - given) + (given - rules.keys)
        if (wrong.isNotEmpty()) fail("lacks or does not know the attribute ${wrong.sorted().joinToString()}")
        for ((name, value) in op.attributes) {
            val rule = rules.getValue(name)
            val shown = if (value is String) "'$value'" else "$value"
            if (!rule.accepts(value)) fail("has $name = $shown, not ${rule.wanted()}")
        }
    }

    fun has(name: String): Boolean = name in op.attributes

    fun whole(name: String): Int = number(name).toInt()

    fun number(name: String): Double = (op.attributes.getValue(name) as Number).toDouble()

    fun text(name: String, otherwise: String): String = (op.attributes[name] ?: otherwise) as String

    fun wholes(name: String): List<Int> = (op.attributes.getValue(name) as List<*>).map { (it as Number).toInt() }

    /** An axis of [rank]; negative ones count from the end. */
    fun axis(rank: Int, name: String = "axis"): Int {
        val axis = whole(name)
        if (axis !in -rank until rank) fail("has $name = $axis for rank $rank")
        return axis.mod(rank)
    }

    fun fail(problem: String): Nothing = throw BundleException.unsupported("host step $label $problem")
}
