package org.detr2litert.core.pipeline

/**
 * Numbers the sources shown on the screen: a camera at one screen rotation, or a still picture.
 *
 * Every picture and its result carry the number of their source. Those with an older number belong to a source that is no
 * longer shown, and are dropped.
 */
class SourceNumber {
    /** The number of the source now shown; readable from any thread. */
    @Volatile
    var current = 0
        private set

    /** Starts a new source and returns its number. Only one thread may call this. */
    fun next(): Int {
        val number = current + 1
        current = number
        return number
    }

    fun isCurrent(number: Int): Boolean = number == current
}
