package org.detr2litert.core.host

import org.detr2litert.core.BundleException
import org.detr2litert.core.manifest.HostOp

/** An op's attributes, read by type; every fault names the op. */
internal class Attributes(private val label: String, private val op: HostOp) {
    fun allowOnly(required: Set<String>, optional: Set<String>) {
        val given = op.attributes.keys
        val wrong = (required - given) + (given - required - optional)
        if (wrong.isNotEmpty()) fail("lacks or does not know the attribute ${wrong.sorted().joinToString()}")
    }

    fun has(name: String): Boolean = op.attributes[name] != null

    fun whole(name: String): Int {
        val number = number(name)
        if (number != Math.rint(number) || number !in Int.MIN_VALUE.toDouble()..Int.MAX_VALUE.toDouble()) {
            fail("has $name = $number, which is not a whole number")
        }
        return number.toInt()
    }

    fun number(name: String): Double = (op.attributes[name] as? Number)?.toDouble() ?: fail("has no number '$name'")

    fun flag(name: String): Boolean = (op.attributes[name] ?: false) as? Boolean ?: fail("has no true or false '$name'")

    fun text(name: String, otherwise: String): String =
        (op.attributes[name] ?: otherwise) as? String ?: fail("has no text '$name'")

    fun wholes(name: String): List<Int> {
        val list = op.attributes[name] as? List<*> ?: fail("has no list '$name'")
        return list.map { item ->
            val number = (item as? Number)?.toDouble()
            if (number == null || number != Math.rint(number)) fail("has $name = $list, which are not whole numbers")
            number.toInt()
        }
    }

    /** An axis of [rank], counted from the end where negative. */
    fun axis(rank: Int, name: String = "axis"): Int {
        val axis = whole(name)
        if (axis !in -rank until rank) fail("has $name = $axis for rank $rank")
        return axis.mod(rank)
    }

    fun fail(problem: String): Nothing = throw BundleException.unsupported("host step $label $problem")
}
