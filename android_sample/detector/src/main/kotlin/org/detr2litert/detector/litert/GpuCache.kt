package org.detr2litert.detector.litert

import org.detr2litert.core.bundle.Bundle
import org.detr2litert.core.engine.Precision
import java.io.File

/** The delegate's cache of compiled programs: a folder, and a key for each graph, runtime version and precision. */
internal class GpuCache(cacheDir: File, private val bundle: Bundle) {
    private val root = File(cacheDir, "gpu-programs")

    /** The folder's path; created if missing. */
    fun folder(): String = root.apply { mkdirs() }.path

    /** A key that changes with everything that would invalidate a cached program. */
    fun key(graphFile: String, precision: Precision): String {
        val graphHash = bundle.manifest.files.getValue(graphFile).sha256.take(HASH_LENGTH)
        return "$graphHash-${LiteRtSession.RUNTIME_VERSION}-${precision.name.lowercase()}"
    }

    /** The file that remembers whether compiling [graphFile] has ended the process, see NativeAttempts. */
    fun attempts(graphFile: String, precision: Precision) = File(root, "${key(graphFile, precision)}.attempts")

    private companion object {
        const val HASH_LENGTH = 16
    }
}
