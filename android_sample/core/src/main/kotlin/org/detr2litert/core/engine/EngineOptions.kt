package org.detr2litert.core.engine

/** The processor of both graphs. A graph that the GPU does not accept whole is refused, never split. */
enum class Processor { GPU, CPU }

/** The GPU's arithmetic; [DEFAULT] is the delegate's default (fp16 on phones). */
enum class Precision { DEFAULT, FP16, FP16_FP32_SUMS, FP32 }

/**
 * Options of compiling the graphs.
 *
 * @property cache keep compiled GPU programs in the app's cache folder, for a faster next start.
 * @property cpuThreads the number of threads for [Processor.CPU].
 * @property shareBuffers let graph B read graph A's output buffers where their requirements match, instead of copying them
 *   through host memory. Off by default: not measured on a phone.
 */
data class EngineOptions(
    val processor: Processor = Processor.GPU,
    val precision: Precision = Precision.DEFAULT,
    val cache: Boolean = true,
    val cpuThreads: Int = 4,
    val shareBuffers: Boolean = false,
)
