package org.detr2litert.core.json

/** Writes maps, lists, strings, numbers, booleans and null as JSON; the reverse of [JsonParser]. */
object JsonWriter {
    /**
     * @return [value] as indented JSON, ending in a line break.
     * @throws IllegalArgumentException for a number that JSON cannot represent (NaN, infinities) or an unsupported class.
     */
    fun write(value: Any?): String = StringBuilder().apply { append(value, "\n") }.append('\n').toString()

    private fun StringBuilder.append(value: Any?, lineBreak: String) {
        when (value) {
            null -> append("null")

            is String -> appendQuoted(value)

            is Boolean, is Int, is Long -> append(value.toString())

            is Float -> appendNumber(value.toDouble(), value.toString())

            is Double -> appendNumber(value, value.toString())

            is Map<*, *> -> appendItems('{', '}', value.entries, lineBreak) { (name, item) ->
                appendQuoted(name as String)
                append(": ")
                append(item, "$lineBreak ")
            }

            is Iterable<*> -> appendItems('[', ']', value.toList(), lineBreak) { append(it, "$lineBreak ") }

            else -> throw IllegalArgumentException("JSON has no ${value.javaClass.name}")
        }
    }

    private fun <T> StringBuilder.appendItems(
        open: Char,
        close: Char,
        items: Collection<T>,
        lineBreak: String,
        appendItem: (T) -> Unit,
    ) {
        append(open)
        items.forEachIndexed { index, item ->
            if (index > 0) append(',')
            append(lineBreak).append(' ')
            appendItem(item)
        }
        if (items.isNotEmpty()) append(lineBreak)
        append(close)
    }

    private fun StringBuilder.appendNumber(value: Double, text: String) {
        require(!value.isNaN() && !value.isInfinite()) { "JSON has no $value" }
        append(text)
    }

    private fun StringBuilder.appendQuoted(text: String) {
        append('"')
        for (char in text) {
            when {
                char == '"' || char == '\\' -> append('\\').append(char)
                char < ' ' -> append("\\u").append(char.code.toString(16).padStart(4, '0'))
                else -> append(char)
            }
        }
        append('"')
    }
}
