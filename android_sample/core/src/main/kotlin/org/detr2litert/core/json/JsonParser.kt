package org.detr2litert.core.json

/** Text that is not JSON; the message names the position. */
class JsonSyntaxException(message: String) : Exception(message)

/**
 * A strict RFC 8259 parser for small documents.
 *
 * No library is used: Android's `org.json` accepts comments, unquoted names and trailing text, and differs from the
 * implementation on the JVM; any other library would be this module's only dependency.
 *
 * Objects become [LinkedHashMap], arrays [ArrayList], integers [Long] ([Double] if too large), other numbers [Double].
 * Duplicate names in an object are refused.
 */
class JsonParser private constructor(private val text: String, private val maxDepth: Int) {
    private var at = 0

    private fun document(): Any? {
        val value = value(0)
        skipSpace()
        if (at != text.length) fail("more text after the end")
        return value
    }

    private fun value(depth: Int): Any? {
        if (depth > maxDepth) fail("nested deeper than $maxDepth")
        skipSpace()
        if (at == text.length) fail("the text ends too early")
        return when (val first = text[at]) {
            '{' -> jsonObject(depth)
            '[' -> array(depth)
            '"' -> string()
            't' -> literal("true", true)
            'f' -> literal("false", false)
            'n' -> literal("null", null)
            else -> if (first == '-' || first in '0'..'9') number() else fail("unexpected '${ForeignJson.shown("$first")}'")
        }
    }

    private fun jsonObject(depth: Int): Map<String, Any?> {
        val members = LinkedHashMap<String, Any?>()
        at++
        if (skipTo('}')) return members
        do {
            skipSpace()
            if (at == text.length || text[at] != '"') fail("a name in quotes is missing")
            val name = string()
            if (name in members) fail("the name \"${ForeignJson.shown(name)}\" is given twice")
            if (!skipTo(':')) fail("':' is missing")
            members[name] = value(depth + 1)
        } while (skipTo(','))
        if (!skipTo('}')) fail("'}' or ',' is missing")
        return members
    }

    private fun array(depth: Int): List<Any?> {
        val items = ArrayList<Any?>()
        at++
        if (skipTo(']')) return items
        do items.add(value(depth + 1)) while (skipTo(','))
        if (!skipTo(']')) fail("']' or ',' is missing")
        return items
    }

    private fun string(): String {
        val out = StringBuilder()
        at++
        while (true) {
            if (at == text.length) fail("a string does not end")
            val char = text[at++]
            when {
                char == '"' -> return out.toString()
                char == '\\' -> out.append(escaped())
                char < ' ' -> fail("a control character in a string")
                else -> out.append(char)
            }
        }
    }

    private fun escaped(): Char {
        if (at == text.length) fail("a string does not end")
        return when (val char = text[at++]) {
            '"', '\\', '/' -> char

            'b' -> '\b'

            'f' -> '\u000C'

            'n' -> '\n'

            'r' -> '\r'

            't' -> '\t'

            'u' -> {
                val digits = text.substring(at, minOf(at + 4, text.length))
                if (digits.length != 4 || digits.any { it.digitToIntOrNull(16) == null }) fail("\\u needs four hex digits")
                at += 4
                digits.toInt(16).toChar()
            }

            else -> fail("unknown escape '\\${ForeignJson.shown("$char")}'")
        }
    }

    private fun number(): Number {
        val match = NUMBER.find(text, at)?.takeIf { it.range.first == at } ?: fail("not a number")
        at = match.range.last + 1
        val integral = match.value.none { it == '.' || it == 'e' || it == 'E' }
        val whole = if (integral) match.value.toLongOrNull() else null
        return whole
            ?: match.value.toDouble().also {
                if (it.isInfinite()) fail("the number ${match.value.take(SHOWN)} is not a finite number")
            }
    }

    private fun literal(word: String, value: Any?): Any? {
        if (!text.startsWith(word, at)) fail("unexpected '${ForeignJson.shown("${text[at]}")}'")
        at += word.length
        return value
    }

    private fun skipSpace() {
        while (at < text.length && text[at] in " \t\r\n") at++
    }

    /** Skips white space, then [expected] if it is next. */
    private fun skipTo(expected: Char): Boolean {
        skipSpace()
        val found = at < text.length && text[at] == expected
        if (found) at++
        return found
    }

    private fun fail(problem: String): Nothing = throw JsonSyntaxException("$problem at character $at")

    companion object {
        private const val MAX_DEPTH = 64
        private const val SHOWN = 60
        private val NUMBER = Regex("-?(0|[1-9][0-9]*)(\\.[0-9]+)?([eE][+-]?[0-9]+)?")

        /** @throws JsonSyntaxException if [text] is not one JSON value. */
        fun parse(text: String, maxDepth: Int = MAX_DEPTH): Any? = JsonParser(text, maxDepth).document()
    }
}
