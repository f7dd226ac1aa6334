package org.detr2litert.core.engine

import java.io.File
import java.io.IOException

/**
 * Remembers in a file whether compiling the native form has ended the process.
 *
 * A GPU driver may end the process on an operator that it computes wrong or not at all, instead of refusing it. No exception
 * reports that, so an app that tries the native form first would end at every start. The file exists only while the form is
 * compiled: one that is found at a start was left by a process that did not survive. It is tried twice, since the process may
 * have ended for another reason.
 *
 * @param file of its own for each bundle, runtime version and precision; its folder is created if missing. In a cache folder,
 * clearing the app's cache permits another try.
 */
class NativeAttempts(private val file: File) {
    /** How many processes have ended while they compiled the form. */
    val deaths: Int
        get() = try {
            file.readText().trim().toIntOrNull() ?: 0
        } catch (_: IOException) {
            0
        }

    /** Why the form is not tried again, in one line; null if it may be tried. */
    val refusal: String?
        get() = deaths.takeIf { it >= MOST }?.let {
            "the app ended $it times while it compiled the native graphs; clear the app's cache to try them again"
        }

    /** Compiles the form in [block]; whether it succeeds or is refused, the attempt is forgotten when it returns. */
    fun <T> during(block: () -> T): T {
        val written = try {
            file.parentFile?.mkdirs()
            file.writeText("${deaths + 1}")
            true
        } catch (_: IOException) {
            false // without a file the form is tried unguarded
        }
        try {
            return block()
        } finally {
            if (written) file.delete()
        }
    }

    private companion object {
        const val MOST = 2
    }
}
