plugins {
    alias(libs.plugins.android.application)
}

android {
    namespace = "org.detr2litert.sample"
    compileSdk = 36

    defaultConfig {
        applicationId = "org.detr2litert.sample"
        minSdk = 24 // as :detector
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
        // Bundle files are copied from the assets once; compression would only slow that down.
        noCompress += listOf("tflite", "safetensors")
    }
}

dependencies {
    implementation(project(":detector")) // and with it :core
}
