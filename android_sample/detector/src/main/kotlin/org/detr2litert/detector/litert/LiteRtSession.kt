package org.detr2litert.detector.litert

import android.content.Context
import android.util.Log
import com.google.ai.edge.litert.Accelerator
import com.google.ai.edge.litert.Environment
import com.google.ai.edge.litert.LiteRtException
import org.detr2litert.core.bundle.Bundle
import org.detr2litert.core.engine.CompiledForm
import org.detr2litert.core.engine.EngineException
import org.detr2litert.core.engine.EngineOptions
import org.detr2litert.core.engine.NativeAttempts
import org.detr2litert.core.engine.Processor
import org.detr2litert.core.engine.forms
import org.detr2litert.core.pipeline.DetectorPipeline
import org.detr2litert.detector.BuildConfig

/**
 * LiteRT's environment, shared by all graphs of the process: buffers can be passed between graphs only within one environment,
 * and a model without one would create its own.
 */
class LiteRtSession(private val context: Context) : AutoCloseable {
    private var environment: Environment? = null

    /**
     * Compiles a bundle's graphs and creates their buffers; may take seconds, so not for the main thread.
     *
     * On the GPU the native form is tried first, if the bundle has one; [DetectorPipeline.form] is the one that runs.
     *
     * @throws EngineException if LiteRT refuses a graph.
     */
    fun open(bundle: Bundle, options: EngineOptions): DetectorPipeline {
        val shared = environment ?: create().also { environment = it }
        if (options.processor == Processor.GPU) requireGpu(shared)
        val cache = GpuCache(context.cacheDir, bundle)
        val compiler = GraphCompiler(shared, cache, options)
        val forms = bundle.manifest.forms(options.processor)
        val attempts = NativeAttempts(cache.attempts(forms.first().a.file, options.precision))
        val graphs = CompiledForm.first(forms, attempts.takeIf { forms.size > 1 }) { spec, source: CompiledGraph? ->
            compiler.compile(bundle.file(spec.file), spec, source)
        }
        graphs.inUse.refusal?.let { Log.w(GraphCompiler.TAG, "the native form does not run here: $it") }
        try {
            return DetectorPipeline(bundle, graphs.a, graphs.b, graphs.inUse, graphs.m)
        } catch (error: Throwable) {
            listOfNotNull(graphs.m, graphs.b, graphs.a).forEach { it.close() }
            throw error
        }
    }

    override fun close() {
        environment?.close()
        environment = null
    }

    private fun create(): Environment = try {
        Environment.create(context)
    } catch (error: LinkageError) {
        throw EngineException(
            EngineException.Kind.NO_RUNTIME,
            "LiteRT's native library cannot be loaded (${error.message}); this build is for arm64-v8a",
            error,
        )
    } catch (error: LiteRtException) {
        throw EngineException(EngineException.Kind.NO_RUNTIME, "LiteRT does not start (${error.message})", error)
    }

    /** Fails without a GPU accelerator, which is a separate artifact since LiteRT 2.3; a build without it still starts. */
    private fun requireGpu(environment: Environment) {
        val found = try {
            environment.getAvailableAccelerators()
        } catch (error: LiteRtException) {
            throw EngineException(EngineException.Kind.NO_GPU, "LiteRT cannot list its accelerators (${error.message})", error)
        }
        if (Accelerator.GPU !in found) {
            throw EngineException(
                EngineException.Kind.NO_GPU,
                "LiteRT found no GPU, only ${found.joinToString()}: the phone has no OpenCL, or the build no litert-gpu",
            )
        }
    }

    companion object {
        /** The version of LiteRT that this library was built with. */
        val RUNTIME_VERSION: String = BuildConfig.LITERT_VERSION
    }
}
