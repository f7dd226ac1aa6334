package org.detr2litert.detector.litert

import org.detr2litert.core.bundle.Bundle
import org.detr2litert.core.engine.Precision
import java.io.File

/** Where the delegate may keep compiled programs: one folder and key for each graph, runtime version and precision. */
internal class GpuCache(cacheDir: File, private val bundle: Bundle) {
    private val root = File(cacheDir, "gpu-programs")

    /** The folder as a path; made if it is not there. */
    fun folder(): String = root.apply { mkdirs() }.path

    /** A key that changes with whatever would make an old program wrong. */
    fun key(graphFile: String, precision: Precision): String {
        val graphHash = bundle.manifest.files.getValue(graphFile).sha256.take(HASH_LENGTH)
        return "$graphHash-${LiteRtSession.RUNTIME_VERSION}-${precision.name.lowercase()}"
    }

    private companion object {
        const val HASH_LENGTH = 16
    }
}
