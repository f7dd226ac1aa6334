package org.detr2litert.sample.parity

import android.os.Bundle
import org.detr2litert.core.engine.EngineOptions
import org.detr2litert.core.engine.Precision
import org.detr2litert.core.engine.Processor
import java.io.File

/** An `-e` argument of `am instrument` is missing or invalid. */
class ArgumentException(message: String) : Exception(message)

/**
 * The arguments of `am instrument -e NAME VALUE ...`; INSTRUMENTATION.md lists them.
 *
 * @property bundle with [run] a folder inside the app's files folder.
 */
class ParityArguments private constructor(
    val bundle: File,
    val run: File,
    val options: EngineOptions,
    val runs: Int,
    val warmUp: Int,
    private val given: Map<String, String>,
) {
    /** The request as recorded in result.json. */
    fun toJson(): Map<String, Any?> = given + mapOf(
        "accelerator" to options.processor.name.lowercase(),
        "precision" to precisions.entries.first { it.value == options.precision }.key,
        "runs" to runs,
        "warmup" to warmUp,
        "cache" to options.cache,
        "threads" to options.cpuThreads,
        "share_buffers" to options.shareBuffers,
    )

    companion object {
        private const val MOST_RUNS = 10_000
        private val precisions = mapOf(
            "default" to Precision.DEFAULT,
            "fp16" to Precision.FP16,
            "fp16_fp32_sums" to Precision.FP16_FP32_SUMS,
            "fp32" to Precision.FP32,
        )
        private val processors = mapOf("gpu" to Processor.GPU, "cpu" to Processor.CPU)
        private val switches = mapOf("true" to true, "false" to false)
        private val known =
            setOf("bundle", "run", "accelerator", "precision", "runs", "warmup", "cache", "threads", "share_buffers")

        /**
         * @param files the app's files folder.
         * @throws ArgumentException naming the argument.
         */
        fun parse(arguments: Bundle, files: File): ParityArguments {
            val given = arguments.keySet().associateWith { arguments.getString(it).orEmpty() }
            (given.keys - known).firstOrNull()?.let {
                throw ArgumentException("unknown argument '$it'; known are ${known.joinToString()}")
            }
            return ParityArguments(
                bundle = folder(given, "bundle", files),
                run = folder(given, "run", files),
                options = EngineOptions(
                    processor = oneOf(given, "accelerator", processors, "gpu"),
                    precision = oneOf(given, "precision", precisions, "default"),
                    cache = oneOf(given, "cache", switches, "false"),
                    cpuThreads = whole(given, "threads", 4, 1..64),
                    shareBuffers = oneOf(given, "share_buffers", switches, "false"),
                ),
                runs = whole(given, "runs", 20, 1..MOST_RUNS),
                warmUp = whole(given, "warmup", 5, 0..MOST_RUNS),
                given = given,
            )
        }

        private fun folder(given: Map<String, String>, name: String, files: File): File {
            val path = given[name] ?: throw ArgumentException("-e $name FOLDER is missing")
            val folder = File(files, path)
            val inside = folder.canonicalPath.startsWith(files.canonicalPath + File.separator)
            if (!inside) throw ArgumentException("$name '$path' is not inside the app's files folder")
            if (!folder.isDirectory) throw ArgumentException("$name '$path' is not a folder in the app's files folder")
            return folder
        }

        private fun <T> oneOf(given: Map<String, String>, name: String, values: Map<String, T>, otherwise: String): T {
            val text = given[name] ?: otherwise
            return values[text] ?: throw ArgumentException("$name '$text' is not one of ${values.keys.joinToString()}")
        }

        private fun whole(given: Map<String, String>, name: String, otherwise: Int, range: IntRange): Int {
            val text = given[name] ?: return otherwise
            return text.toIntOrNull()?.takeIf { it in range }
                ?: throw ArgumentException("$name '$text' is not a whole number in ${range.first}..${range.last}")
        }
    }
}
