package org.detr2litert.core.bundle

import org.detr2litert.core.BundleException
import java.io.File

/** Resolves relative POSIX paths inside a bundle. */
internal object BundlePath {
    /**
     * The file [name] under [root].
     *
     * @throws BundleException for a name that could lead outside the bundle on any system (`..`, absolute, `C:`, a backslash).
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

    /** Whether a symbolic link is on the path from [root] to [file]: its canonical path then differs. */
    fun passesLink(root: File, file: File): Boolean =
        file.canonicalPath != File(root.canonicalFile, file.relativeTo(root).path).path
}
