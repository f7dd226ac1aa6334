package org.detr2litert.core.screen

/**
 * Holds the screen's state and handles events sequentially. Confined to one thread.
 *
 * An event dispatched from [render] or [run] is queued until the current one has been reduced, rendered and its effects run.
 *
 * @param render shows the state; the first argument is the previous one.
 * @param run performs an effect, after the new state is rendered.
 */
class ScreenStore(
    initial: ScreenState,
    private val render: (before: ScreenState?, now: ScreenState) -> Unit,
    private val run: (ScreenEffect) -> Unit,
) {
    private val waiting = ArrayDeque<ScreenEvent>()
    private var handling = false

    /** The current state. */
    var state: ScreenState = initial
        private set

    /** Handles an event before returning, or queues it while another one is being handled. */
    fun dispatch(event: ScreenEvent) {
        waiting.addLast(event)
        if (handling) return
        handling = true
        try {
            while (true) handle(waiting.removeFirstOrNull() ?: break)
        } finally {
            handling = false
        }
    }

    private fun handle(event: ScreenEvent) {
        val before = state
        val step = ScreenReducer.reduce(before, event)
        state = step.state
        if (step.state != before) render(before, step.state)
        step.effects.forEach(run)
    }
}
