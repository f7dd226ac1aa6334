package org.detr2litert.core.engine

import org.detr2litert.core.manifest.GraphSpec

/**
 * The graphs, compiled in one form; the caller closes them. [b] is null where one graph gives boxes and logits, [m] where there
 * are no masks.
 */
class CompiledForm<G : AutoCloseable>(val a: G, val b: G?, val inUse: FormInUse, val m: G? = null) {
    companion object {
        /**
         * Compiles the graphs of the first form that is accepted.
         *
         * The forms are never mixed: if a graph of a form is refused, all of the next one are compiled. What was compiled
         * of a refused form is closed before.
         *
         * @param forms in the order of trying, at least one.
         * @param attempts of all forms but the last, if a compilation may end the process.
         * @param compile compiles a graph; its second argument is the graph before it, whose buffers it may share, or null.
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
                    val compiled = { all(graphs, refusal, compile) }
                    return attempts?.during(compiled) ?: compiled()
                } catch (error: EngineException) {
                    refusal = error.message
                }
            }
            return all(forms.last(), refusal, compile)
        }

        private fun <G : AutoCloseable> all(
            graphs: FormGraphs,
            refusal: String?,
            compile: (GraphSpec, G?) -> G,
        ): CompiledForm<G> {
            val made = ArrayList<G>()
            try {
                val a = compile(graphs.a, null).also { made += it }
                val b = graphs.b?.let { compile(it, a) }?.also { made += it }
                val m = graphs.m?.let { compile(it, b ?: a) }?.also { made += it }
                return CompiledForm(a, b, FormInUse(graphs.form, refusal), m)
            } catch (error: Throwable) {
                made.asReversed().forEach { it.close() }
                throw error
            }
        }
    }
}
