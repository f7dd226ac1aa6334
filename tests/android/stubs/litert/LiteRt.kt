// STUB for type-checking only; see the README.md beside. Signatures as of LiteRT 2.3.

package com.google.ai.edge.litert

import android.content.Context
import android.content.res.AssetManager

enum class Accelerator(
    val value: Int,
) {
    NONE(0),
    CPU(1),
    GPU(2),
    NPU(3),
}

abstract class JniHandle internal constructor(
    internal val handle: Long,
) : AutoCloseable {
    final override fun close(): Unit = stub()
}

class LiteRtException(
    status: Status,
    message: String,
) : Exception(message) {
    constructor(code: Int, message: String) : this(Status.fromCode(code), message)
}

enum class Status(
    val code: Int,
) {
    Ok(0),
    ErrorRuntimeFailure(3),
    ;

    companion object {
        fun fromCode(code: Int): Status = stub()
    }
}

class Environment private constructor(
    handle: Long,
) : JniHandle(handle) {
    enum class Option(
        val value: Int,
    ) {
        CompilerPluginLibraryDir(0),
        DispatchLibraryDir(1),
    }

    @Throws(LiteRtException::class)
    fun getAvailableAccelerators(): Set<Accelerator> = stub()

    companion object {
        @Throws(LiteRtException::class)
        @JvmOverloads
        @JvmStatic
        fun create(
            context: Context,
            options: Map<Option, String> = mapOf(),
            enableCompilerCache: Boolean = true,
        ): Environment = stub()

        @Throws(LiteRtException::class)
        @JvmOverloads
        @JvmStatic
        fun create(options: Map<Option, String> = mapOf()): Environment = stub()
    }
}

data class TensorType
    @JvmOverloads
    constructor(
        val elementType: ElementType,
        val layout: Layout? = null,
    ) {
        enum class ElementType { INT, FLOAT, INT8, BOOLEAN, INT64 }

        data class Layout
            @JvmOverloads
            constructor(
                val dimensions: List<Int>,
                val strides: List<Int> = listOf(),
            ) {
                val rank: Int get() = dimensions.size
                val hasStrides: Boolean get() = strides.isNotEmpty()
            }
    }

enum class TensorBufferType { Unknown, HostMemory, Ahwb, OpenClBuffer }

data class TensorBufferRequirements(
    val supportedTypes: List<TensorBufferType>,
    val bufferSize: Int,
    val strides: List<Int>,
)

class TensorBuffer internal constructor(
    handle: Long,
) : JniHandle(handle) {
    @Throws(LiteRtException::class)
    fun writeInt(data: IntArray): Unit = stub()

    @Throws(LiteRtException::class)
    fun writeFloat(data: FloatArray): Unit = stub()

    @Throws(LiteRtException::class)
    fun writeInt8(data: ByteArray): Unit = stub()

    @Throws(LiteRtException::class)
    fun writeBoolean(data: BooleanArray): Unit = stub()

    @Throws(LiteRtException::class)
    fun writeLong(data: LongArray): Unit = stub()

    @Throws(LiteRtException::class)
    fun readInt(): IntArray = stub()

    @Throws(LiteRtException::class)
    fun readFloat(): FloatArray = stub()

    @Throws(LiteRtException::class)
    fun readInt8(): ByteArray = stub()

    @Throws(LiteRtException::class)
    fun readBoolean(): BooleanArray = stub()

    @Throws(LiteRtException::class)
    fun readLong(): LongArray = stub()
}

class CompiledModel private constructor(
    handle: Long,
) : JniHandle(handle) {
    data class CpuOptions(
        val numThreads: Int? = null,
        val xnnPackFlags: Int? = null,
        val xnnPackWeightCachePath: String? = null,
    )

    data class GpuOptions(
        val constantTensorSharing: Boolean? = null,
        val infiniteFloatCapping: Boolean? = null,
        val allowSrcQuantizedFcConvOps: Boolean? = null,
        val precision: Precision? = null,
        val bufferStorageType: BufferStorageType? = null,
        val preferTextureWeights: Boolean? = null,
        val serializationDir: String? = null,
        val modelCacheKey: String? = null,
        val serializeProgramCache: Boolean? = null,
        val serializeExternalTensors: Boolean? = null,
        val externalTensorsMode: Boolean? = null,
        val externalTensorPattern: String? = null,
        val backend: Backend? = null,
        val priority: Priority? = null,
        val numStepsOfCommandBufferPreparations: Int? = null,
    ) {
        enum class Precision { DEFAULT, FP16, FP32, FP16_WITH_FP32_ACCUM }

        enum class BufferStorageType { DEFAULT, BUFFER, TEXTURE_2D }

        enum class Backend { AUTOMATIC, OPENCL, WEBGPU, OPENGL }

        enum class Priority { DEFAULT, LOW, NORMAL, HIGH }
    }

    class Options(
        internal val accelerators: Set<Accelerator>,
    ) {
        constructor(vararg accelerators: Accelerator) : this(setOf(*accelerators))

        var cpuOptions: CpuOptions? = null
        var gpuOptions: GpuOptions? = null

        companion object {
            @JvmStatic
            val CPU = Options(Accelerator.CPU)
        }
    }

    @Throws(LiteRtException::class)
    fun createInputBuffer(
        inputName: String,
        signature: String = "",
    ): TensorBuffer = stub()

    @Throws(LiteRtException::class)
    fun createOutputBuffer(
        outputName: String,
        signature: String = "",
    ): TensorBuffer = stub()

    @Throws(LiteRtException::class)
    fun getInputBufferRequirements(
        inputName: String,
        signature: String = "",
    ): TensorBufferRequirements = stub()

    @Throws(LiteRtException::class)
    fun getOutputBufferRequirements(
        outputName: String,
        signature: String = "",
    ): TensorBufferRequirements = stub()

    fun getInputTensorType(
        inputName: String,
        signature: String = "",
    ): TensorType = stub()

    fun getOutputTensorType(
        outputName: String,
        signature: String = "",
    ): TensorType = stub()

    @Throws(LiteRtException::class)
    fun run(
        inputs: Map<String, TensorBuffer>,
        outputs: Map<String, TensorBuffer>,
        signature: String = "",
    ): Unit = stub()

    companion object {
        @Throws(LiteRtException::class)
        @JvmOverloads
        @JvmStatic
        fun create(
            assetManager: AssetManager,
            assetName: String,
            options: Options = Options.CPU,
            optionalEnv: Environment? = null,
        ): CompiledModel = stub()

        @Throws(LiteRtException::class)
        @JvmOverloads
        @JvmStatic
        fun create(
            filePath: String,
            options: Options = Options.CPU,
            optionalEnv: Environment? = null,
        ): CompiledModel = stub()
    }
}

private fun stub(): Nothing = throw UnsupportedOperationException("a stub is for type-checking only")
