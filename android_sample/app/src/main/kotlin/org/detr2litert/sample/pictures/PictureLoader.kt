package org.detr2litert.sample.pictures

import android.content.ContentResolver
import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.graphics.Matrix
import android.media.ExifInterface
import android.net.Uri
import org.detr2litert.core.preprocess.Picture
import org.detr2litert.core.screen.StillPicture
import org.detr2litert.detector.copyPixels
import java.io.File
import java.io.IOException
import java.io.InputStream

/** A picture cannot be shown; the message is one line for the user. */
class PictureException(message: String, cause: Throwable? = null) : Exception(message, cause)

/** An upright picture as a bitmap to show and as the detector's input. */
class LoadedPicture(val bitmap: Bitmap) : StillPicture {
    override val pixels = Picture(bitmap.width, bitmap.height).also { bitmap.copyPixels(it) }
}

/**
 * Loads pictures upright: applies all eight EXIF orientations.
 *
 * A picture longer than [MAX_SIDE] pixels is subsampled; the model's input is far smaller. Not for the main thread.
 */
class PictureLoader(private val resolver: ContentResolver) {
    /** @throws PictureException if [uri] cannot be read as a picture. */
    fun load(uri: Uri): LoadedPicture = load(uri.lastPathSegment ?: uri.toString()) {
        resolver.openInputStream(uri) ?: throw IOException("the file is missing")
    }

    /** @throws PictureException if [file] cannot be read as a picture. */
    fun load(file: File): LoadedPicture = load(file.name) { file.inputStream() }

    private fun load(name: String, open: () -> InputStream): LoadedPicture = try {
        val bounds = BitmapFactory.Options().apply { inJustDecodeBounds = true }
        open().use { BitmapFactory.decodeStream(it, null, bounds) }
        if (bounds.outWidth <= 0) throw PictureException("$name is not a picture that this phone can read")
        val options = BitmapFactory.Options().apply {
            inPreferredConfig = Bitmap.Config.ARGB_8888
            inSampleSize = fraction(maxOf(bounds.outWidth, bounds.outHeight))
        }
        val bitmap = open().use { BitmapFactory.decodeStream(it, null, options) }
            ?: throw PictureException("$name is cut short or damaged")
        LoadedPicture(upright(bitmap, open().use { orientation(it) }))
    } catch (error: IOException) {
        throw PictureException("$name cannot be read (${error.message})", error)
    } catch (error: SecurityException) {
        throw PictureException("this app may not read $name (${error.message})", error)
    }

    private fun orientation(stream: InputStream): Int = try {
        ExifInterface(stream).getAttributeInt(ExifInterface.TAG_ORIENTATION, ExifInterface.ORIENTATION_NORMAL)
    } catch (_: IOException) {
        // A format without EXIF has no orientation.
        ExifInterface.ORIENTATION_NORMAL
    }

    private fun upright(bitmap: Bitmap, orientation: Int): Bitmap {
        val matrix = Matrix()
        when (orientation) {
            ExifInterface.ORIENTATION_FLIP_HORIZONTAL -> matrix.setScale(-1f, 1f)

            ExifInterface.ORIENTATION_ROTATE_180 -> matrix.setRotate(180f)

            ExifInterface.ORIENTATION_FLIP_VERTICAL -> matrix.setScale(1f, -1f)

            ExifInterface.ORIENTATION_TRANSPOSE -> {
                matrix.setRotate(90f)
                matrix.postScale(-1f, 1f)
            }

            ExifInterface.ORIENTATION_ROTATE_90 -> matrix.setRotate(90f)

            ExifInterface.ORIENTATION_TRANSVERSE -> {
                matrix.setRotate(-90f)
                matrix.postScale(-1f, 1f)
            }

            ExifInterface.ORIENTATION_ROTATE_270 -> matrix.setRotate(-90f)

            else -> return bitmap
        }
        return Bitmap.createBitmap(bitmap, 0, 0, bitmap.width, bitmap.height, matrix, false)
    }

    private companion object {
        const val MAX_SIDE = 2048

        /** The smallest power of two that reduces [length] to [MAX_SIDE] or below. */
        fun fraction(length: Int): Int {
            var fraction = 1
            while (length / fraction > MAX_SIDE) fraction *= 2
            return fraction
        }
    }
}
