package org.detr2litert.core.pipeline

/**
 * Numbers what the screen shows: one number for a camera at one turn of the screen, another for each still picture.
 *
 * Every picture carries the number under which it was made, and so does its result. What carries an older number is for
 * something that is no longer shown, and is dropped wherever it is met.
 */
class SourceNumber {
    /** Of what is shown now; any thread may look. */
    @Volatile
    var current = 0
        private set

    /** Something else is shown from now on; its number. One thread alone may call this. */
    fun next(): Int {
        val number = current + 1
        current = number
        return number
    }

    fun isCurrent(number: Int): Boolean = number == current
}
