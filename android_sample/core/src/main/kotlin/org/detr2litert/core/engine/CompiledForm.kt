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
         * @param attempts of all forms but the last, if a compilation may end the process.
         * @param compile compiles a graph; its second argument is graph A, whose buffers graph B may share, or null.
         * @throws EngineException the last form's.
         */
        fun <G : AutoCloseable> first(
            forms: List<FormGraphs>,
            attempts: NativeAttempts? = null,
            compile: (GraphSpec, G?) -> G,
        ): CompiledForm<G> {
            var refusal = attempts?.refusal
            for (graphs in forms.dropLast(1)) {
                if (attempts?.refusal != null) break
                try {
                    val compiled = { pair(graphs, refusal, compile) }
                    return attempts?.during(compiled) ?: compiled()
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
