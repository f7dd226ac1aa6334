plugins {
    alias(libs.plugins.android.application)
}

android {
    namespace = "org.detr2litert.sample"
    compileSdk = 36

    defaultConfig {
        applicationId = "org.detr2litert.sample"
        minSdk = 24 // :detector's
        targetSdk = 36
        versionCode = 1
        versionName = "0.1.0"
        ndk {
            abiFilters += "arm64-v8a" // what LiteRT's GPU accelerator is built for
        }
    }

    buildFeatures {
        buildConfig = true
    }

    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_17
        targetCompatibility = JavaVersion.VERSION_17
    }

    androidResources {
        // Graphs and constants are copied out of the assets once; compressed ones would only make that slower.
        noCompress += listOf("tflite", "safetensors")
    }
}

dependencies {
    implementation(project(":detector")) // and with it :core
}
