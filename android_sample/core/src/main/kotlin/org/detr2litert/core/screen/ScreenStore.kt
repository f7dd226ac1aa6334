package org.detr2litert.core.screen

/**
 * Holds the screen's state and takes events one after the other. One thread alone.
 *
 * An event that comes while another is being handled, from what [render] or [run] do, waits until that one is through: so each is
 * reduced, shown and acted upon as a whole.
 *
 * @param render shows the state; the first argument is the one that is on the screen.
 * @param run does what an effect says, after the state that came with it is shown.
 */
class ScreenStore(
    initial: ScreenState,
    private val render: (before: ScreenState?, now: ScreenState) -> Unit,
    private val run: (ScreenEffect) -> Unit,
) {
    private val waiting = ArrayDeque<ScreenEvent>()
    private var handling = false

    /** What is on the screen now. */
    var state: ScreenState = initial
        private set

    /** Takes an event; it is handled before this returns, unless another one is being handled. */
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
