package org.detr2litert.core.tensor

import org.detr2litert.core.BundleException
import org.detr2litert.core.json.ForeignJson
import org.detr2litert.core.json.JsonObject
import org.detr2litert.core.json.JsonShapeException
import org.detr2litert.core.json.JsonSyntaxException
import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder

/**
 * Reads a .safetensors file: eight bytes of header length (little-endian), a JSON header, then the tensors' bytes without
 * gaps or overlaps (the safetensors project's README). Types other than F32, I32 and U8 are refused.
 */
object Safetensors {
    private const val PREFIX = 8
    private const val METADATA = "__metadata__"
    private val TYPES = mapOf("F32" to DType.FLOAT32, "I32" to DType.INT32, "U8" to DType.UINT8)

    /**
     * All tensors of [file] by name.
     *
     * @throws BundleException if it is not a safetensors file or has a tensor of another type.
     */
    fun read(file: File): Map<String, Tensor> = try {
        parse(file.readBytes())
    } catch (error: JsonSyntaxException) {
        throw damaged(file, error)
    } catch (error: JsonShapeException) {
        throw damaged(file, error)
    } catch (error: IllegalArgumentException) {
        throw damaged(file, error)
    }

    /**
     * All tensors of [file] by name; those that [specs] name must have that shape and type.
     *
     * @throws BundleException as above, or if a tensor is missing or has another shape or type.
     */
    fun read(file: File, specs: List<TensorSpec>): Map<String, Tensor> {
        val found = read(file)
        for (spec in specs) {
            val tensor = found[spec.name]
                ?: throw BundleException.manifest("${file.name} lacks the constant '${spec.name}'")
            if (tensor.shape != spec.shape || tensor.dtype != spec.dtype) {
                throw BundleException.manifest(
                    "the constant '${spec.name}' in ${file.name} is $tensor, not ${spec.dtype.label}${spec.shape}",
                )
            }
        }
        return found
    }

    private fun parse(bytes: ByteArray): Map<String, Tensor> {
        require(bytes.size >= PREFIX) { "only ${bytes.size} bytes" }
        val headerLength = ByteBuffer.wrap(bytes, 0, PREFIX).order(ByteOrder.LITTLE_ENDIAN).getLong()
        require(headerLength in 2..(bytes.size - PREFIX).toLong()) { "a header of $headerLength bytes" }
        val start = PREFIX + headerLength.toInt()
        val header = JsonObject.root(ForeignJson.parse(String(bytes, PREFIX, headerLength.toInt(), Charsets.UTF_8)))
        val entries = header.names.filter { it != METADATA }.map { it to header.child(it) }
        var end = 0L
        val inOrder = entries.sortedBy { (_, entry) -> entry.wholes("data_offsets", least = 0).firstOrNull() }
        return inOrder.associate { (name, entry) ->
            val offsets = entry.wholes("data_offsets", least = 0)
            require(offsets.size == 2 && offsets[0].toLong() == end && offsets[1] >= offsets[0]) {
                "'$name' overlaps or leaves a gap"
            }
            require(offsets[1] <= bytes.size - start) { "'$name' ends after the file" }
            end = offsets[1].toLong()
            val dtype =
                requireNotNull(TYPES[entry.text("dtype")]) { "'$name' has the type ${ForeignJson.shown(entry.text("dtype"))}" }
            name to LittleEndian.decode(bytes, start + offsets[0], offsets[1] - offsets[0], entry.wholes("shape", 0), dtype)
        }.also { require(end == (bytes.size - start).toLong()) { "bytes after the last tensor" } }
    }

    private fun damaged(file: File, error: Exception) =
        BundleException.manifest("${file.name} is not a safetensors file that this app reads (${error.message})", error)
}
