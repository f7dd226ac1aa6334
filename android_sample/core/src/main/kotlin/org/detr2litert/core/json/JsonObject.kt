package org.detr2litert.core.json

/** A value that violates the schema; the message starts with the value's path. */
class JsonShapeException(message: String) : Exception(message)

/**
 * Reads a parsed object field by field, with the checks of a JSON Schema.
 *
 * @property path the position in the document, `$` for the root; every error names it.
 */
class JsonObject(val path: String, private val members: Map<String, Any?>) {
    val names: Set<String> get() = members.keys

    /** `required` and `additionalProperties: false`. */
    fun allowOnly(required: Set<String>, optional: Set<String> = emptySet()): JsonObject = apply {
        (required - names).firstOrNull()?.let { fail(path, "'$it' is a required property") }
        (names - required - optional).firstOrNull()?.let { fail(path, "'$it' is not allowed here") }
    }

    fun has(name: String): Boolean = name in members

    fun raw(name: String): Any? = members[name]

    fun text(name: String, minLength: Int = 0): String = text("$path.$name", members[name], minLength)

    fun flag(name: String): Boolean = members[name] as? Boolean ?: fail("$path.$name", "not true or false")

    fun number(name: String): Double = number("$path.$name", members[name])

    fun whole(name: String, least: Int = Int.MIN_VALUE): Int = whole("$path.$name", members[name], least)

    fun long(name: String): Long {
        val value = number(name)
        if (value != Math.rint(value) || value < 0 || value > MAX_EXACT) fail("$path.$name", "not a whole number from 0")
        return value.toLong()
    }

    fun oneOf(name: String, allowed: Collection<String>): String = text(name).also {
        if (it !in allowed) fail("$path.$name", "'$it' is not one of ${allowed.joinToString()}")
    }

    fun child(name: String): JsonObject = child("$path.$name", members[name])

    /** All members as objects, by name and in order. */
    fun children(): Map<String, JsonObject> = members.mapValues { (name, value) -> child("$path.$name", value) }

    fun objects(name: String): List<JsonObject> = items(name) { at, value -> child(at, value) }

    fun texts(name: String, minLength: Int = 0): List<String> = items(name) { at, value -> text(at, value, minLength) }

    fun wholes(name: String, least: Int = Int.MIN_VALUE): List<Int> = items(name) { at, value -> whole(at, value, least) }

    fun numbers(name: String): List<Double> = items(name) { at, value -> number(at, value) }

    fun <T> items(name: String, read: (String, Any?) -> T): List<T> {
        val list = members[name] as? List<*> ?: fail("$path.$name", "not an array")
        return list.mapIndexed { index, value -> read("$path.$name[$index]", value) }
    }

    fun fail(problem: String): Nothing = fail(path, problem)

    companion object {
        private const val MAX_EXACT = 9_007_199_254_740_992.0 // 2^53

        fun root(value: Any?): JsonObject = child("$", value)

        private fun child(path: String, value: Any?): JsonObject {
            if (value !is Map<*, *>) fail(path, "not an object")
            @Suppress("UNCHECKED_CAST") // JsonParser gives every object String names
            return JsonObject(path, value as Map<String, Any?>)
        }

        private fun text(path: String, value: Any?, minLength: Int): String {
            val text = value as? String ?: fail(path, "not a string")
            if (text.length < minLength) fail(path, "empty")
            return text
        }

        private fun number(path: String, value: Any?): Double = (value as? Number)?.toDouble() ?: fail(path, "not a number")

        private fun whole(path: String, value: Any?, least: Int): Int {
            val number = number(path, value)
            if (number != Math.rint(number) || number > Int.MAX_VALUE || number < Int.MIN_VALUE) {
                fail(path, "not a whole number of 32 bits")
            }
            if (number < least) fail(path, "less than $least")
            return number.toInt()
        }

        private fun fail(path: String, problem: String): Nothing = throw JsonShapeException("$path: $problem")
    }
}
