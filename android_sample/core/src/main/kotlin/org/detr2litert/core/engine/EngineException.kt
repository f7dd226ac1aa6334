package org.detr2litert.core.engine

/**
 * A graph that the engine (LiteRT) does not accept or cannot run. The message is one line for the user.
 *
 * @property kind for the error screen's heading.
 */
class EngineException(val kind: Kind, message: String, cause: Throwable? = null) : Exception(message, cause) {
    /** Which part failed. */
    enum class Kind {
        /** LiteRT itself cannot be loaded or started. */
        NO_RUNTIME,

        /** This build or phone has no GPU accelerator that LiteRT can use. */
        NO_GPU,

        /** The GPU does not accept the whole graph. */
        GPU_REFUSED,

        /** The file cannot be compiled at all, or its signature is not the manifest's. */
        GRAPH,

        /** A compiled graph failed while running. */
        RUN,
    }
}
