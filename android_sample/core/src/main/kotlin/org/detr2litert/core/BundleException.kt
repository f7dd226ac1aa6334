package org.detr2litert.core

/**
 * A bundle that cannot be used. The message is one line for the user: what is wrong, where, and what to do next.
 *
 * @property reason what kind of fault it is, so that a screen can choose its heading.
 */
class BundleException(val reason: Reason, message: String, cause: Throwable? = null) : Exception(message, cause) {
    enum class Reason {
        /** There is no bundle, or one of its files is not there. */
        MISSING,

        /** The manifest is not JSON, not of the schema, of a newer schema, or does not fit together. */
        MANIFEST,

        /** A file is cut short, too long, or has another hash than the manifest says. */
        DAMAGED,

        /** A path or a link that leads out of the bundle. */
        UNSAFE,

        /** A host step or a tensor type that this runtime does not know. */
        UNSUPPORTED,
    }

    companion object {
        /** What to do about most faults. */
        const val REMAKE = "make the bundle again with `convert run`"

        internal fun manifest(message: String, cause: Throwable? = null) =
            BundleException(Reason.MANIFEST, "$message; $REMAKE", cause)

        internal fun unsupported(message: String) =
            BundleException(Reason.UNSUPPORTED, "$message; update the app, or $REMAKE")
    }
}
