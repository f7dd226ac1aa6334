package org.detr2litert.core.engine

import org.detr2litert.core.manifest.GraphSpec

/** The graphs, compiled in one form; the caller closes them. [b] is null where there is one graph. */
class CompiledForm<G : AutoCloseable>(val a: G, val b: G?, val inUse: FormInUse) {
    companion object {
        /**
         * Compiles the graphs of the first form that is accepted.
         *
         * The forms are never mixed: if either graph of a form is refused, both of the next one are compiled. What was compiled
         * of a refused form is closed before.
         *
         * @param forms in the order of trying, at least one.
         * @param compile compiles a graph; its second argument is graph A, whose buffers graph B may share, or null.
         * @throws EngineException the last form's.
         */
        fun <G : AutoCloseable> first(forms: List<FormGraphs>, compile: (GraphSpec, G?) -> G): CompiledForm<G> {
            var refusal: String? = null
            for (graphs in forms.dropLast(1)) {
                try {
                    return pair(graphs, refusal, compile)
                } catch (error: EngineException) {
                    refusal = error.message
                }
            }
            return pair(forms.last(), refusal, compile)
        }

        private fun <G : AutoCloseable> pair(
            graphs: FormGraphs,
            refusal: String?,
            compile: (GraphSpec, G?) -> G,
        ): CompiledForm<G> {
            val a = compile(graphs.a, null)
            try {
                return CompiledForm(a, graphs.b?.let { compile(it, a) }, FormInUse(graphs.form, refusal))
            } catch (error: Throwable) {
                a.close()
                throw error
            }
        }
    }
}
