package org.detr2litert.core.bundle

import org.detr2litert.core.BundleException
import java.io.File

/** Relative POSIX paths inside a bundle, and nothing else. */
internal object BundlePath {
    /**
     * The file that [name] means under [root].
     *
     * @throws BundleException for a name that could leave the bundle on any system (`..`, absolute, `C:`, a backslash).
     */
    fun resolve(root: File, name: String): File {
        val parts = name.split('/')
        val unsafe = parts.any { it.isEmpty() || it == "." || it == ".." || it.any { char -> char in "\\:\u0000" } }
        if (unsafe) {
            throw BundleException(
                BundleException.Reason.UNSAFE,
                "${root.name} lists the path '$name', which is not inside the bundle; don't trust this bundle: " +
                    BundleException.REMAKE,
            )
        }
        return parts.fold(root) { folder, part -> File(folder, part) }
    }

    /** Whether a symbolic link lies on the way from [root] to [file]: then its canonical path is another one. */
    fun passesLink(root: File, file: File): Boolean =
        file.canonicalPath != File(root.canonicalFile, file.relativeTo(root).path).path
}
