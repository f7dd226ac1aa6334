package org.detr2litert.detector.litert

import android.util.Log
import com.google.ai.edge.litert.Accelerator
import com.google.ai.edge.litert.CompiledModel
import com.google.ai.edge.litert.CompiledModel.GpuOptions
import com.google.ai.edge.litert.Environment
import com.google.ai.edge.litert.LiteRtException
import com.google.ai.edge.litert.TensorBuffer
import com.google.ai.edge.litert.TensorType
import org.detr2litert.core.engine.EngineException
import org.detr2litert.core.engine.EngineOptions
import org.detr2litert.core.engine.Precision
import org.detr2litert.core.engine.Processor
import org.detr2litert.core.manifest.GraphSpec
import org.detr2litert.core.tensor.DType
import org.detr2litert.core.tensor.TensorSpec
import java.io.File

/** Compiles graphs and checks their signatures against the manifest. */
internal class GraphCompiler(
    private val environment: Environment,
    private val cache: GpuCache,
    private val options: EngineOptions,
) {
    /**
     * @param source a graph whose output buffers may serve as inputs of the same name.
     * @throws EngineException if LiteRT refuses the graph, or its signature differs from [spec].
     */
    fun compile(file: File, spec: GraphSpec, source: CompiledGraph? = null): CompiledGraph {
        // The delegate logs what it accepted but not the graph's name, so this line precedes it in the same process.
        Log.i(TAG, "compiling ${spec.file} for the ${options.processor}")
        val model = try {
            // By path: LiteRT then maps the file; the asset overload would copy it to native memory.
            CompiledModel.create(file.path, liteRtOptions(spec.file), environment)
        } catch (error: LiteRtException) {
            throw refusal(spec.file, error)
        }
        val made = ArrayList<AutoCloseable>().apply { add(model) }
        try {
            checkSignature(model, spec)
            val bound = if (options.shareBuffers && source != null) shared(model, spec, source) else emptyMap()
            val inputs = spec.inputs.associate { input ->
                input.name to (bound[input.name] ?: model.createInputBuffer(input.name, spec.signature).also { made.add(it) })
            }
            val outputs = spec.outputs.associate { output ->
                output.name to model.createOutputBuffer(output.name, spec.signature).also { made.add(it) }
            }
            return CompiledGraph(spec, model, inputs, outputs, bound.keys)
        } catch (error: LiteRtException) {
            made.asReversed().forEach { it.close() }
            throw EngineException(
                EngineException.Kind.GRAPH,
                "${spec.file}: LiteRT cannot create its buffers (${error.message})",
                error,
            )
        } catch (error: EngineException) {
            made.asReversed().forEach { it.close() }
            throw error
        }
    }

    /** Options for one accelerator only: with GPU and CPU together LiteRT would silently leave nodes on the CPU. */
    private fun liteRtOptions(graphFile: String): CompiledModel.Options = when (options.processor) {
        Processor.CPU -> CompiledModel.Options(Accelerator.CPU).apply {
            cpuOptions = CompiledModel.CpuOptions(numThreads = options.cpuThreads)
        }

        Processor.GPU -> CompiledModel.Options(Accelerator.GPU).apply {
            gpuOptions = GpuOptions(
                precision = when (options.precision) {
                    Precision.DEFAULT -> GpuOptions.Precision.DEFAULT
                    Precision.FP16 -> GpuOptions.Precision.FP16
                    Precision.FP16_FP32_SUMS -> GpuOptions.Precision.FP16_WITH_FP32_ACCUM
                    Precision.FP32 -> GpuOptions.Precision.FP32
                },
                serializationDir = if (options.cache) cache.folder() else null,
                modelCacheKey = if (options.cache) cache.key(graphFile, options.precision) else null,
                serializeProgramCache = options.cache,
            )
        }
    }

    private fun refusal(graphFile: String, error: LiteRtException) = when (options.processor) {
        Processor.GPU -> EngineException(
            EngineException.Kind.GPU_REFUSED,
            "$graphFile does not run whole on this GPU (${error.message}); the operators are named in logcat under the tags " +
                "tflite and litert",
            error,
        )

        Processor.CPU -> EngineException(
            EngineException.Kind.GRAPH,
            "LiteRT cannot compile $graphFile (${error.message}); make the bundle again with `convert run`",
            error,
        )
    }

    /** Output buffers of [source] usable as [spec]'s inputs: same size and strides, and a common buffer type. */
    private fun shared(model: CompiledModel, spec: GraphSpec, source: CompiledGraph): Map<String, TensorBuffer> =
        spec.inputs.mapNotNull { input ->
            val buffer = source.outputBuffer(input.name) ?: return@mapNotNull null
            val produced = source.outputRequirements(input.name)
            val consumed = model.getInputBufferRequirements(input.name, spec.signature)
            val fits = produced.bufferSize == consumed.bufferSize && produced.strides == consumed.strides &&
                produced.supportedTypes.firstOrNull() in consumed.supportedTypes
            if (fits) input.name to buffer else null
        }.toMap()

    private fun checkSignature(model: CompiledModel, spec: GraphSpec) {
        for (input in spec.inputs) {
            // LiteRT's Kotlin API knows no unsigned bytes: getInputTensorType throws for a tensor of them ("Unsupported element
            // type in Kotlin"), even though its buffer can be created and written. That the signature has the name is checked
            // when the buffer is created, and the length when it is written.
            if (input.dtype != DType.UINT8) check(spec, input) { model.getInputTensorType(input.name, spec.signature) }
        }
        for (output in spec.outputs) check(spec, output) { model.getOutputTensorType(output.name, spec.signature) }
    }

    private inline fun check(spec: GraphSpec, tensor: TensorSpec, read: () -> TensorType) {
        val type = try {
            read()
        } catch (error: LiteRtException) {
            throw EngineException(
                EngineException.Kind.GRAPH,
                "${spec.file}'s signature '${spec.signature}' has no tensor '${tensor.name}' (${error.message})",
                error,
            )
        }
        val expected = when (tensor.dtype) {
            DType.FLOAT32 -> TensorType.ElementType.FLOAT
            DType.INT32 -> TensorType.ElementType.INT
            DType.UINT8 -> null // which ElementType lacks
        }
        val shape = type.layout?.dimensions
        if (type.elementType != expected || (shape != null && shape != tensor.shape)) {
            throw EngineException(
                EngineException.Kind.GRAPH,
                "'${tensor.name}' of ${spec.file} is ${type.elementType}$shape but in the manifest " +
                    "${tensor.dtype.label}${tensor.shape}",
            )
        }
    }

    companion object {
        const val TAG = "DetrSample"
    }
}
