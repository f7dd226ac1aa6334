package org.detr2litert.sample.litert

/**
 * LiteRT did not take a graph, or could not run it.
 *
 * @property kind for the error screen's heading.
 */
class EngineException(val kind: Kind, message: String, cause: Throwable? = null) : Exception(message, cause) {
    enum class Kind {
        /** LiteRT itself cannot be loaded or started. */
        NO_RUNTIME,

        /** This build or phone has no GPU accelerator that LiteRT can use. */
        NO_GPU,

        /** The GPU is there but did not take the whole graph. */
        GPU_REFUSED,

        /** The file cannot be compiled at all, or its signature is not the manifest's. */
        GRAPH,

        /** A compiled graph failed while running. */
        RUN,
    }
}
