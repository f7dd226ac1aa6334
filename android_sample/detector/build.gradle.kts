plugins {
    alias(libs.plugins.android.library)
}

android {
    namespace = "org.detr2litert.detector"
    compileSdk = 36

    defaultConfig {
        minSdk = 24 // required by LiteRT 2.3
        buildConfigField("String", "LITERT_VERSION", "\"${libs.versions.litert.get()}\"")
    }

    buildFeatures {
        buildConfig = true
    }

    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_17
        targetCompatibility = JavaVersion.VERSION_17
    }
}

dependencies {
    api(project(":core")) // manifests, detections and options are part of this library's API
    implementation(libs.litert)
    implementation(libs.litert.gpu)
}
