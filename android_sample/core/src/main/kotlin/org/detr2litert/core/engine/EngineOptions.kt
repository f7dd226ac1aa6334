package org.detr2litert.core.engine

/** The processor of both graphs. There is no mixture: a graph that the GPU does not accept whole is refused. */
enum class Processor { GPU, CPU }

/** The GPU's arithmetic; [DEFAULT] is the delegate's own choice (fp16 on phones). */
enum class Precision { DEFAULT, FP16, FP16_FP32_SUMS, FP32 }

/**
 * How the graphs are compiled.
 *
 * @property cache keep compiled GPU programs in the app's cache folder, so that the next start is faster.
 * @property cpuThreads for [Processor.CPU].
 * @property shareBuffers let graph B read graph A's output buffers where both ask for the same kind, instead of copying them
 *   through this side. Off unless asked for: no phone has been measured with it.
 */
data class EngineOptions(
    val processor: Processor = Processor.GPU,
    val precision: Precision = Precision.DEFAULT,
    val cache: Boolean = true,
    val cpuThreads: Int = 4,
    val shareBuffers: Boolean = false,
)
