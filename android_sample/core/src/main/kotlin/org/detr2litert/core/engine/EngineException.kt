package org.detr2litert.core.engine

/**
 * LiteRT refuses or fails to run a graph. The message is one line for the user.
 *
 * @property kind the category, from which the error screen chooses its heading.
 */
class EngineException(val kind: Kind, message: String, cause: Throwable? = null) : Exception(message, cause) {
    /** The category of a failure. */
    enum class Kind {
        /** LiteRT cannot be loaded or started. */
        NO_RUNTIME,

        /** LiteRT has no GPU accelerator in this build or on this phone. */
        NO_GPU,

        /** The GPU does not accept the whole graph. */
        GPU_REFUSED,

        /** The file cannot be compiled on any accelerator, or its signature differs from the manifest. */
        GRAPH,

        /** A compiled graph failed while running. */
        RUN,
    }
}
