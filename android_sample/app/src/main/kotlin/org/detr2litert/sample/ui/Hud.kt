package org.detr2litert.sample.ui

import android.widget.TextView
import org.detr2litert.core.pipeline.DetectionExchange
import org.detr2litert.core.pipeline.FrameRate
import org.detr2litert.core.pipeline.Stage
import java.util.Locale

/**
 * The head-up display: frames per second and the stage times of a frame, in the picture's corner.
 *
 * Run and read are shown separately, because an accelerator may return from the run early and finish in the read; their sum is
 * the graph's time. Figures are medians of the last frames, updated a few times per second.
 */
class Hud(private val text: TextView) {
    private val rate = FrameRate()
    private val times = FloatArray(Stage.entries.size)
    private var writtenAt = 0L

    /** The first line: the detector and its processor. */
    var title = ""

    /** @param live whether pictures are a camera stream, so that the rate is shown. */
    fun update(exchange: DetectionExchange, detections: Int, live: Boolean) {
        val now = System.nanoTime()
        val framesPerSecond = rate.update(exchange.takeTimes(times), now)
        if (live && now - writtenAt < INTERVAL) return
        writtenAt = now
        text.text = buildString {
            append(title).append('\n')
            if (live) line("%.1f fps   %d found", framesPerSecond, detections) else line("%d found", detections)
            line("pre     %6.1f ms", ms(Stage.PREPROCESS))
            line(
                "A       %6.1f ms   write %.1f  run %.1f  read %.1f",
                a(),
                ms(Stage.WRITE_A),
                ms(Stage.RUN_A),
                ms(Stage.READ_A),
            )
            if (b() > 0f) { // a bundle of one graph has neither
                line("host    %6.1f ms", ms(Stage.HOST))
                line(
                    "B       %6.1f ms   write %.1f  run %.1f  read %.1f",
                    b(),
                    ms(Stage.WRITE_B),
                    ms(Stage.RUN_B),
                    ms(Stage.READ_B),
                )
            }
            line("decode  %6.1f ms", ms(Stage.DECODE))
            if (m() > 0f) { // of a call of the graph of the masks, which takes some detections at a time
                line(
                    "M       %6.1f ms   write %.1f  run %.1f  read %.1f",
                    m(),
                    ms(Stage.WRITE_M),
                    ms(Stage.RUN_M),
                    ms(Stage.READ_M),
                )
                line("masks   %6.1f ms", ms(Stage.MASKS))
            }
            append(String.format(Locale.ROOT, "frame   %6.1f ms", times.sum()))
        }
    }

    fun clear() {
        text.text = title
    }

    private fun StringBuilder.line(format: String, vararg values: Any) {
        append(String.format(Locale.ROOT, format, *values)).append('\n')
    }

    private fun ms(stage: Stage): Float = times[stage.ordinal]

    private fun a(): Float = ms(Stage.WRITE_A) + ms(Stage.RUN_A) + ms(Stage.READ_A)

    private fun b(): Float = ms(Stage.WRITE_B) + ms(Stage.RUN_B) + ms(Stage.READ_B)

    private fun m(): Float = ms(Stage.WRITE_M) + ms(Stage.RUN_M) + ms(Stage.READ_M)

    private companion object {
        const val INTERVAL = 250_000_000L
    }
}
