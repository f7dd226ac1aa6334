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
        (names - required - optional).firstOrNull()?.let { fail(path, "'${ForeignJson.shown(it)}' is not allowed here") }
    }

    fun has(name: String): Boolean = name in members

    fun raw(name: String): Any? = members[name]

    /** Lengths are in code points. */
    fun text(name: String, minLength: Int = 0, maxLength: Int = Int.MAX_VALUE): String =
        text("$path.$name", members[name], minLength, maxLength)

    fun flag(name: String): Boolean = members[name] as? Boolean ?: fail("$path.$name", "not true or false")

    fun number(name: String, range: ClosedRange<Double> = ANY_NUMBER): Double = number("$path.$name", members[name], range)

    fun whole(name: String, least: Int = Int.MIN_VALUE, most: Int = Int.MAX_VALUE): Int =
        whole("$path.$name", members[name], least, most)

    fun long(name: String, most: Long): Long {
        val value = number(name)
        if (value != Math.rint(value) || value < 0 || value > most) fail("$path.$name", "not a whole number from 0 to $most")
        return value.toLong()
    }

    fun oneOf(name: String, allowed: Collection<String>): String = text(name).also {
        if (it !in allowed) fail("$path.$name", "'${ForeignJson.shown(it)}' is not one of ${allowed.joinToString()}")
    }

    fun child(name: String): JsonObject = child("$path.$name", members[name])

    /** `maxProperties` and `propertyNames`: at most [most] members, with names of 1 to [maxLength] code points. */
    fun limit(most: Int, maxLength: Int): JsonObject = apply {
        if (members.size > most) fail(path, "has ${members.size} members, more than $most")
        for (name in members.keys) text(path, name, 1, maxLength)
    }

    /** All members as objects, by name and in order. */
    fun children(): Map<String, JsonObject> = members.mapValues { (name, value) -> child("$path.$name", value) }

    fun objects(name: String, most: Int = Int.MAX_VALUE): List<JsonObject> = items(name, most) { at, value -> child(at, value) }

    fun texts(
        name: String,
        minLength: Int = 0,
        maxLength: Int = Int.MAX_VALUE,
        most: Int = Int.MAX_VALUE,
    ): List<String> = items(name, most) { at, value -> text(at, value, minLength, maxLength) }

    fun wholes(
        name: String,
        least: Int = Int.MIN_VALUE,
        greatest: Int = Int.MAX_VALUE,
        most: Int = Int.MAX_VALUE,
    ): List<Int> = items(name, most) { at, value -> whole(at, value, least, greatest) }

    /** Items that are arrays of two whole numbers each. */
    fun pairs(name: String, least: Int, greatest: Int, most: Int): List<Pair<Int, Int>> = items(name, most) { at, value ->
        val ends = value as? List<*>
        if (ends?.size != 2) fail(at, "not an array of two numbers")
        whole("$at[0]", ends[0], least, greatest) to whole("$at[1]", ends[1], least, greatest)
    }

    fun numbers(name: String, range: ClosedRange<Double> = ANY_NUMBER, most: Int = Int.MAX_VALUE): List<Double> =
        items(name, most) { at, value -> number(at, value, range) }

    /** The items of an array that has [most] at most, each given to [read] with its path. */
    fun <T> items(name: String, most: Int = Int.MAX_VALUE, read: (String, Any?) -> T): List<T> {
        val list = members[name] as? List<*> ?: fail("$path.$name", "not an array")
        if (list.size > most) fail("$path.$name", "has ${list.size} items, more than $most")
        return list.mapIndexed { index, value -> read("$path.$name[$index]", value) }
    }

    fun fail(problem: String): Nothing = fail(path, problem)

    companion object {
        private const val PATH_SHOWN = 200
        private val ANY_NUMBER = -Double.MAX_VALUE..Double.MAX_VALUE

        fun root(value: Any?): JsonObject = child("$", value)

        private fun child(path: String, value: Any?): JsonObject {
            if (value !is Map<*, *>) fail(path, "not an object")
            @Suppress("UNCHECKED_CAST") // JsonParser gives every object String names
            return JsonObject(path, value as Map<String, Any?>)
        }

        internal fun text(path: String, value: Any?, minLength: Int, maxLength: Int): String {
            val text = value as? String ?: fail(path, "not a string")
            val length = text.codePointCount(0, text.length)
            if (length < minLength) fail(path, "empty")
            if (length > maxLength) fail(path, "'${ForeignJson.shown(text)}' has $length characters, more than $maxLength")
            return text
        }

        private fun number(path: String, value: Any?, range: ClosedRange<Double>): Double {
            val number = (value as? Number)?.toDouble() ?: fail(path, "not a number")
            if (number !in range) fail(path, "$number is not from ${range.start} to ${range.endInclusive}")
            return number
        }

        private fun whole(path: String, value: Any?, least: Int, most: Int): Int {
            val number = number(path, value, ANY_NUMBER)
            if (number != Math.rint(number) || number > Int.MAX_VALUE || number < Int.MIN_VALUE) {
                fail(path, "not a whole number of 32 bits")
            }
            if (number < least) fail(path, "less than $least")
            if (number > most) fail(path, "more than $most")
            return number.toInt()
        }

        private fun fail(path: String, problem: String): Nothing = throw JsonShapeException(
            "${path.take(PATH_SHOWN)}: $problem",
        )
    }
}
