// STUB for type-checking only; see stubs/README.md. SOC_* are API 31.
package android.os;

public class Build {
    public static final String MANUFACTURER = string();
    public static final String MODEL = string();
    public static final String DEVICE = string();
    public static final String HARDWARE = string();
    public static final String FINGERPRINT = string();
    public static final String SOC_MANUFACTURER = string();
    public static final String SOC_MODEL = string();
    public static final String[] SUPPORTED_ABIS = {};

    public static class VERSION {
        public static final int SDK_INT = string().length();
        public static final String RELEASE = string();
        public static final String SECURITY_PATCH = string();
    }

    public static class VERSION_CODES {
        public static final int Q = 29;
        public static final int S = 31;
    }

    private static String string() {
        throw new UnsupportedOperationException("stub");
    }
}
