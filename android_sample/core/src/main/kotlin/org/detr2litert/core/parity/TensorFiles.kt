package org.detr2litert.core.parity

import org.detr2litert.core.tensor.DType
import org.detr2litert.core.tensor.LittleEndian
import org.detr2litert.core.tensor.Tensor
import java.io.File

/** An input file of a parity run is missing or has the wrong length. */
class TensorFileException(message: String) : Exception(message)

/**
 * Reads and writes tensors as raw little-endian files, one each, row-major, without header: `NAME.f32`, `NAME.i32` or
 * `NAME.u8`. Bytes of a name's UTF-8 other than letters, digits, `_`, `-` and inner dots are written as %XX.
 */
object TensorFiles {
    /** The file name of a tensor, always inside the folder. */
    fun name(tensor: String, dtype: DType): String {
        val safe = StringBuilder()
        tensor.toByteArray().forEachIndexed { index, byte ->
            val char = byte.toInt().toChar()
            val plain = char in 'a'..'z' || char in 'A'..'Z' || char in '0'..'9' || char in "_-" || (char == '.' && index > 0)
            if (plain) safe.append(char) else safe.append("%%%02X".format(byte))
        }
        return safe.append(suffix(dtype)).toString()
    }

    /**
     * Fills [into] from its file in [folder].
     *
     * @throws TensorFileException if the file is missing or its length is not the tensor's.
     */
    fun read(folder: File, name: String, into: Tensor) {
        val file = File(folder, name(name, into.dtype))
        if (!file.isFile) throw TensorFileException("${folder.name}/${file.name} is missing")
        val expected = into.size.toLong() * into.dtype.bytes
        if (file.length() != expected) {
            throw TensorFileException("${folder.name}/${file.name} has ${file.length()} bytes, not $expected for $into")
        }
        val bytes = file.readBytes()
        val read = LittleEndian.decode(bytes, 0, bytes.size, into.shape, into.dtype)
        System.arraycopy(read.storage, 0, into.storage, 0, into.size)
    }

    /** Writes [tensor] into [folder], created if missing, and returns the file. */
    fun write(folder: File, name: String, tensor: Tensor): File {
        folder.mkdirs()
        return File(folder, name(name, tensor.dtype)).also { it.writeBytes(LittleEndian.encode(tensor)) }
    }

    private fun suffix(dtype: DType) = when (dtype) {
        DType.FLOAT32 -> ".f32"
        DType.INT32 -> ".i32"
        DType.UINT8 -> ".u8"
    }
}
