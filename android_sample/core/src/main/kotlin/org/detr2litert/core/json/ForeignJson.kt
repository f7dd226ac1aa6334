package org.detr2litert.core.json

/**
 * Reads JSON that others wrote, by the rules of `host_runtime/foreign_json.py`. What it returns, later code may rely on: the text
 * is not longer than its limit, values are not nested deeper than [MAX_DEPTH], no name occurs twice in an object, every number is
 * finite, and every text, names included, is printable and not longer than [MAX_TEXT].
 */
object ForeignJson {
    const val MAX_SIZE = 4 * 1024 * 1024
    const val MAX_TEXT = 4096
    const val MAX_DEPTH = 32
    private const val SHOWN = 200

    /** @throws JsonSyntaxException if [text] is not JSON or exceeds the limits; the message is one printable line. */
    fun parse(text: String): Any? {
        // In UTF-8, a character has at least as many bytes as in UTF-16 units.
        if (text.length > MAX_SIZE) throw JsonSyntaxException("it is larger than $MAX_SIZE bytes")
        return JsonParser.parse(text, MAX_DEPTH).also { check(it, "$") }
    }

    /** [text] without what cannot be printed, and shortened, for a message. */
    fun shown(text: String): String {
        val short = if (text.length > SHOWN) "${text.take(SHOWN)}…" else text
        if (unprintable(short) == null) return short
        return buildString { short.forEach { if (isUnprintable(it)) append("\\u%04x".format(it.code)) else append(it) } }
    }

    private fun check(value: Any?, place: String) {
        when (value) {
            is String -> checkText(value, place)

            is Map<*, *> -> value.forEach { (name, item) ->
                val inner = "$place.${shown(name as String)}".take(SHOWN)
                checkText(name, inner)
                check(item, inner)
            }

            is List<*> -> value.forEachIndexed { index, item -> check(item, "$place[$index]".take(SHOWN)) }
        }
    }

    private fun checkText(text: String, place: String) {
        if (text.length > MAX_TEXT) {
            throw JsonSyntaxException("$place is a text of ${text.length} characters, more than $MAX_TEXT")
        }
        val found = unprintable(text) ?: return
        throw JsonSyntaxException("$place has the unprintable character U+%04X".format(found.code))
    }

    /** The first control character, separator of lines, override of the writing direction, or half of a surrogate pair. */
    private fun unprintable(text: String): Char? {
        var at = 0
        while (at < text.length) {
            val char = text[at]
            val pair = char.isHighSurrogate() && at + 1 < text.length && text[at + 1].isLowSurrogate()
            if (!pair && isUnprintable(char)) return char
            at += if (pair) 2 else 1
        }
        return null
    }

    private fun isUnprintable(char: Char): Boolean = char < ' ' || char in '\u007f'..'\u009f' || char in '\u2028'..'\u202e' ||
        char in '\u2066'..'\u2069' || char.isSurrogate()
}
