package org.detr2litert.core

/**
 * A bundle that cannot be used. The message is one line for the user: what is wrong, where, and what to do next.
 *
 * @property reason the category, from which a screen chooses its heading.
 */
class BundleException(val reason: Reason, message: String, cause: Throwable? = null) : Exception(message, cause) {
    enum class Reason {
        /** The bundle or one of its files is missing. */
        MISSING,

        /** The manifest is not JSON, violates the schema, has a newer schema version, or is inconsistent. */
        MANIFEST,

        /** A file's length or hash differs from the manifest, or it cannot be read. */
        DAMAGED,

        /** A path or a link leads outside the bundle. */
        UNSAFE,

        /** The host step or a tensor type is not supported by this version. */
        UNSUPPORTED,
    }

    companion object {
        /** The suggested fix for most faults. */
        const val REMAKE = "make the bundle again with `convert run`"

        internal fun manifest(message: String, cause: Throwable? = null) =
            BundleException(Reason.MANIFEST, "$message; $REMAKE", cause)

        internal fun unsupported(message: String) =
            BundleException(Reason.UNSUPPORTED, "$message; update the app, or $REMAKE")
    }
}
