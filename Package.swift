// swift-tools-version: 6.2
// One tree, two flavours.
//   regular   `swift build`, `swift test`: the hub, the tools, the unit tests
//   Embedded  SKYNOD_EMBEDDED=1, through `tools/build amd64|arm64|armhf`: what ships on boards
// C libraries come from `.sdk/` (made by `tools/setup`), never from the host's own release.
import PackageDescription

let embedded = Context.environment["SKYNOD_EMBEDDED"] != nil
/// With SKYNOD_EMBEDDED: for `tools/sim`, whose simulated swarm needs the host's heap, and speed more than a small program.
let simulator = Context.environment["SKYNOD_SIMULATOR"] != nil
let hostLibraries = Context.packageDirectory + "/.sdk/host/root/usr"
let hostArchitecture = {
  #if arch(arm64)
    "aarch64-linux-gnu"
  #else
    "x86_64-linux-gnu"
  #endif
}()

/// `tools/fuzz` builds everything instrumented: the path of libFuzzer's library without a main.
let fuzzer = Context.environment["SKYNOD_FUZZ"]

let common: [SwiftSetting] =
  [
    .enableExperimentalFeature("Lifetimes"),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
  ] + (fuzzer != nil ? [.unsafeFlags(["-sanitize=fuzzer,address"])] : [])
/// What the boards run: kept inside the Embedded subset in both flavours.
let board: [SwiftSetting] =
  common
  + (embedded
    ? [
      .enableExperimentalFeature("Embedded"),
      .unsafeFlags(["-wmo", "-Xfrontend", "-function-sections"]),
      .unsafeFlags(simulator ? ["-O", "-enforce-exclusivity=unchecked", "-assume-single-threaded"] : ["-Osize"]),
    ]
    : [.treatWarning("EmbeddedRestrictions", as: .error)])
/// For what runs for every word of a text (the dictionary encodes with 12 % fewer instructions, for 2 kB more) and every
/// frame of a relay (a tenth less processor time a message, for 49 kB more).
let fastBoard = board + (embedded ? [.unsafeFlags(["-O"])] : [])

let cSettings: [CSetting] =
  embedded
  ? (simulator ? [] : [.define("SKY_FIXED_HEAP")]) + [
    .unsafeFlags([
      "-ffunction-sections", "-fdata-sections", simulator ? "-O2" : "-Os", "-Wall", "-Wextra", "-Werror",
    ])
  ]
  : [.unsafeFlags(["-isystem\(hostLibraries)/include", "-Wall", "-Wextra", "-Werror"])]
    + (fuzzer != nil ? [.unsafeFlags(["-fsanitize=fuzzer-no-link,address"])] : [])

/// The kernels of inference are for speed in both flavours: unoptimised they would be useless for tests.
let kernelSettings: [CSetting] =
  [.unsafeFlags(["-O3", "-ffunction-sections", "-fdata-sections", "-Wall", "-Wextra", "-Werror"])]
  + (fuzzer != nil ? [.unsafeFlags(["-fsanitize=fuzzer-no-link,address"])] : [])

/// What sky_tls_x25519.c, sky_tls_chachapoly.c and sky_tls_gcm.c in Sources/CSky put in the place of mbedTLS's own.
let replaced = [
  "mbedtls_psa_ecp_export_public_key", "mbedtls_psa_key_agreement_ecdh", "mbedtls_chachapoly_encrypt_and_tag",
  "mbedtls_chachapoly_auth_decrypt", "mbedtls_gcm_crypt_and_tag", "mbedtls_gcm_auth_decrypt",
]
let cLibraries: [LinkerSetting] =
  ["mbedtls", "mbedx509", "mbedcrypto", "sodium", "cares", "m"].map { .linkedLibrary($0) }
  + [.unsafeFlags(replaced.flatMap { ["-Xlinker", "--wrap=\($0)"] })]
/// What Sources/CSim/sim_crypto.c puts in the place of the primitives of sky_crypto.h, in the simulator alone.
let simulated: [LinkerSetting] = [
  .unsafeFlags(
    [
      "sha256_start", "sha256_update", "sha256_peek", "hmac_sha256", "hkdf_extract", "hkdf_expand", "ed25519_keypair",
      "ed25519_sign", "ed25519_verify", "xwing_keypair", "xwing_encapsulate", "xwing_decapsulate", "aead_seal",
      "aead_open", "aegis_seal", "aegis_open", "xaead_seal", "xaead_open", "drbg_next",
    ].flatMap { ["-Xlinker", "--wrap=sky_\($0)"] }
      + ["malloc", "calloc", "realloc", "posix_memalign", "free"].flatMap { ["-Xlinker", "--wrap=\($0)"] })
]
let small = ["-s", "--no-eh-frame-hdr", "\(Context.packageDirectory)/tools/no-unwinding.ld"].flatMap {
  ["-Xlinker", $0]
}
let boardLinks: [LinkerSetting] =
  embedded
  ? cLibraries + [
    .unsafeFlags(["-Xclang-linker", "-static", "-Xlinker", "--gc-sections"] + (simulator ? [] : small))
  ]
  : hostLinks
var hostLinks: [LinkerSetting] {
  cLibraries + [
    .unsafeFlags(["-L\(hostLibraries)/lib/\(hostArchitecture)", "-use-ld=lld"])
  ]
}

var targets: [Target] = [
  .target(name: "CSky", cSettings: cSettings),
  .target(name: "Bounded", swiftSettings: fastBoard),
  .target(name: "Durable", dependencies: ["Bounded"], swiftSettings: board),
  .target(name: "Lexicon", dependencies: ["Bounded"], swiftSettings: fastBoard),
  .target(name: "CWords", exclude: ["words.lex", "words.txt"], cSettings: cSettings),
  .target(name: "Packing", dependencies: ["CWords", "Bounded", "Lexicon"], swiftSettings: board),
  .target(name: "Wire", dependencies: ["Bounded"], swiftSettings: fastBoard),
  .target(name: "LexiconText", dependencies: ["Bounded", "Lexicon", "Wire"], swiftSettings: board),
  .target(name: "Knowledge", dependencies: ["Bounded", "Lexicon", "Wire"], swiftSettings: board),
  .target(name: "SkyCrypto", dependencies: ["CSky", "Bounded"], swiftSettings: fastBoard),
  .target(name: "CKernels", cSettings: kernelSettings),
  .target(name: "Inference", dependencies: ["CKernels", "Bounded"], swiftSettings: fastBoard),
  .target(name: "Compute", dependencies: ["Bounded", "Wire", "SkyCrypto"], swiftSettings: board),
  .target(
    name: "Node", dependencies: ["Bounded", "Compute", "Durable", "Packing", "Wire", "SkyCrypto", "Update"],
    swiftSettings: fastBoard),
  .target(name: "Update", dependencies: ["Bounded", "Durable", "Wire", "SkyCrypto"], swiftSettings: board),
  .target(name: "Platform", dependencies: ["CSky", "Bounded", "Durable", "Wire"], swiftSettings: board),
  .target(
    name: "KnowledgeFile", dependencies: ["CSky", "Bounded", "Knowledge", "Platform", "Wire"], swiftSettings: board),
  .executableTarget(
    name: "skynod",
    dependencies: [
      "CSky", "Bounded", "Compute", "Durable", "Wire", "Lexicon", "LexiconText", "Knowledge", "KnowledgeFile",
      "SkyCrypto", "Update", "Node", "Platform",
    ],
    swiftSettings: board, linkerSettings: boardLinks),
  .executableTarget(
    name: "skynodctl", dependencies: ["CSky", "Bounded", "Wire", "Lexicon", "LexiconText", "Platform"],
    swiftSettings: board, linkerSettings: boardLinks),
  .executableTarget(
    name: "skynod-infer", dependencies: ["CSky", "CKernels", "Bounded", "Wire", "Inference", "Platform"],
    swiftSettings: board, linkerSettings: boardLinks),
  .executableTarget(
    name: "skynod-update", dependencies: ["CSky", "Bounded", "Durable", "Wire", "SkyCrypto", "Update", "Platform"],
    swiftSettings: board, linkerSettings: boardLinks),
  .executableTarget(
    name: "inferprobe", dependencies: ["CSky", "CKernels", "Bounded", "Inference"],
    swiftSettings: board, linkerSettings: boardLinks),
  .executableTarget(
    name: "lexprobe", dependencies: ["CSky", "Bounded", "Lexicon"],
    swiftSettings: board, linkerSettings: boardLinks),
  // The medium in memory and the relay among strangers that several tests are built on.
  .target(
    name: "TestSupport", dependencies: ["Bounded", "Durable", "Node", "SkyCrypto", "Wire"],
    path: "Tests/TestSupport", swiftSettings: board),
  .executableTarget(
    name: "skyprobe",
    dependencies: ["CSky", "Bounded", "Durable", "Wire", "SkyCrypto", "Node", "Platform", "TestSupport"],
    swiftSettings: board, linkerSettings: boardLinks),
  .target(name: "CSim", dependencies: ["CSky"], cSettings: cSettings),
  .executableTarget(
    name: "skysim",
    dependencies: ["CSim", "CSky", "Bounded", "Compute", "Durable", "Packing", "Wire", "SkyCrypto", "Node"],
    swiftSettings: board, linkerSettings: boardLinks + simulated),
]
var dependencies: [Package.Dependency] = []

if !embedded && fuzzer == nil {
  dependencies += [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
    .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
  ]
  targets += [
    .target(
      name: "Hub",
      dependencies: [
        "CSky", "Bounded", "Compute", "Durable", "Packing", "Wire", "Knowledge", "Lexicon", "LexiconText", "SkyCrypto",
        "Update", "Node", "Platform",
        .product(name: "GRDB", package: "GRDB.swift"),
      ],
      swiftSettings: common),
    .target(name: "LexiconBuilder", dependencies: ["Bounded", "Lexicon"], swiftSettings: common),
    .executableTarget(
      name: "skyhub",
      dependencies: [
        "Hub", "Bounded", "Compute", "Wire", "SkyCrypto", "Lexicon", "LexiconBuilder", "Platform", "Update",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      swiftSettings: common, linkerSettings: hostLinks),
    .testTarget(
      name: "HubTests",
      dependencies: [
        "TestSupport", "Hub", "skyhub", "CSky", "Bounded", "Compute", "Packing", "Wire", "Lexicon", "LexiconBuilder",
        "SkyCrypto", "Node", "Platform", "Update",
        .product(name: "GRDB", package: "GRDB.swift"),
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      swiftSettings: common, linkerSettings: hostLinks),
    .executableTarget(
      name: "skybench",
      dependencies: [
        "Bounded", "Durable", "Knowledge", "KnowledgeFile", "Lexicon", "LexiconBuilder", "Wire", "SkyCrypto", "Node",
        "Platform",
        .product(name: "GRDB", package: "GRDB.swift"),
      ],
      swiftSettings: common, linkerSettings: hostLinks),
    .testTarget(
      name: "ControlTests",
      dependencies: ["CSky", "Bounded", "Wire", "Lexicon", "LexiconBuilder", "LexiconText", "Platform", "skynodctl"],
      swiftSettings: common, linkerSettings: hostLinks),
    .testTarget(
      name: "LexiconTests", dependencies: ["Bounded", "Lexicon", "LexiconBuilder"], swiftSettings: common),
    .testTarget(
      name: "PackingTests", dependencies: ["CWords", "Bounded", "Packing", "Lexicon", "LexiconBuilder"],
      swiftSettings: common),
    .testTarget(
      name: "BoundedTests", dependencies: ["Bounded"], swiftSettings: common),
    // libsystemd, which the programs themselves do without: what they send must equal what it sends.
    .target(
      name: "SystemdOracle", path: "Tests/SystemdOracle",
      cSettings: [.unsafeFlags(["-Wall", "-Wextra", "-Werror"])], linkerSettings: [.linkedLibrary("systemd")]),
    .testTarget(
      name: "DurableTests", dependencies: ["TestSupport", "Bounded", "Durable", "CSky"],
      swiftSettings: common, linkerSettings: hostLinks),
    .testTarget(
      name: "UpdateTests", dependencies: ["TestSupport", "Bounded", "Durable", "Wire", "SkyCrypto", "Update", "CSky"],
      swiftSettings: common, linkerSettings: hostLinks),
    .testTarget(
      name: "InferenceTests", dependencies: ["Bounded", "CKernels", "Inference"], swiftSettings: common),
    .testTarget(
      name: "ComputeTests", dependencies: ["Bounded", "Compute", "SkyCrypto", "Wire"],
      swiftSettings: common, linkerSettings: hostLinks),
    .testTarget(
      name: "KnowledgeTests", dependencies: ["Bounded", "Knowledge", "Wire"],
      exclude: ["pairs.tsv"], swiftSettings: common),
    .testTarget(
      name: "WireTests", dependencies: ["Bounded", "Wire"], swiftSettings: common),
    .testTarget(
      name: "CryptoTests", dependencies: ["CSky", "Bounded", "SkyCrypto"],
      swiftSettings: common, linkerSettings: hostLinks),
    .testTarget(
      name: "PlatformTests", dependencies: ["CSky", "Bounded", "Durable", "Wire", "Platform", "SystemdOracle"],
      swiftSettings: common, linkerSettings: hostLinks),
    .testTarget(
      name: "NodeTests",
      dependencies: [
        "TestSupport", "Node", "Compute", "Durable", "Packing", "Wire", "SkyCrypto", "Bounded", "CSky", "Update",
        .product(name: "Crypto", package: "swift-crypto"),
      ],
      swiftSettings: common, linkerSettings: hostLinks),
  ]
}

if let fuzzer {
  targets += [
    .target(name: "CFuzzer", path: "Tests/Fuzz/CFuzzer"),
    .target(name: "LexiconBuilder", dependencies: ["Bounded", "Lexicon"], swiftSettings: common),
    .executableTarget(
      name: "skyfuzz",
      dependencies: [
        "CFuzzer", "CKernels", "Bounded", "Compute", "Durable", "Wire", "SkyCrypto", "Node", "Lexicon",
        "LexiconBuilder",
        "Inference", "Knowledge", "Packing", "TestSupport", "Update",
      ],
      path: "Tests/Fuzz/skyfuzz",
      swiftSettings: common,
      linkerSettings: hostLinks + [.linkedLibrary("stdc++"), .unsafeFlags(["-sanitize=address", fuzzer])]),
  ]
}

let package = Package(name: "skynod", dependencies: dependencies, targets: targets)
