// STUB for type-checking only; see stubs/README.md. getCurrentThermalStatus is API 29.
package android.os;

public final class PowerManager {
    public int getCurrentThermalStatus() {
        throw new UnsupportedOperationException("stub");
    }
}
