//! The contents of the npm package.

use std::collections::BTreeSet;
use std::fs;

use bedrock_edge_tests::root;
use serde_json::Value;
use tokio::process::Command;

use super::{Project, run};

const FILES: [&str; 9] = [
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "LICENSES-OF-CRATES.txt",
    "README.md",
    "index.d.ts",
    "index.js",
    "index_bg.wasm",
    "package.json",
    "provenance.json",
];

#[tokio::test]
async fn the_package_has_what_a_worker_needs_and_no_dependency_and_no_script() {
    let project = Project::install("package", None, &[]).await;
    let folder = project.0.join("node_modules/bedrock-edge");
    let read = |file: &str| fs::read_to_string(folder.join(file)).unwrap();
    let files = fs::read_dir(&folder).unwrap();
    let files: BTreeSet<_> =
        files.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(files, FILES.map(str::to_owned).into());

    let manifest: Value = serde_json::from_str(&read("package.json")).unwrap();
    assert_eq!(manifest["version"], env!("CARGO_PKG_VERSION"));
    for key in ["dependencies", "peerDependencies", "optionalDependencies", "scripts"] {
        assert_eq!(manifest[key], Value::Null, "{key}");
    }

    // The provenance has a checksum of each file but itself and the one that names the package.
    let provenance: Value = serde_json::from_str(&read("provenance.json")).unwrap();
    let sums = provenance["sha256"].as_object().unwrap();
    let named = FILES.iter().filter(|file| !["package.json", "provenance.json"].contains(file));
    assert!(sums.keys().eq(named.clone()), "{sums:?}");
    for file in named {
        use sha2::Digest as _;
        let hash = sha2::Sha256::digest(fs::read(folder.join(file)).unwrap());
        let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(sums[*file], hash.as_str(), "{file}");
    }
    let wasm = fs::read(folder.join("index_bg.wasm")).unwrap();
    assert!(wasm == fs::read(root().join("build/index_bg.wasm")).unwrap(), "another wasm");
    let tools = provenance["tools"].as_object().unwrap();
    assert!(tools.keys().eq(["binaryen", "esbuild", "rustc", "wasm-bindgen"]), "{tools:?}");

    // Every crate in the wasm has its licence, and no other.
    let tree = run(Command::new(env!("CARGO")).args([
        "tree",
        "--package=bedrock-edge",
        "--features=entry",
        "--target=wasm32-unknown-unknown",
        "--edges=normal,no-proc-macro",
        "--prefix=none",
    ]))
    .await;
    let crates: BTreeSet<String> = tree
        .lines()
        .filter_map(|line| line.trim_end_matches(" (*)").split_once(" v"))
        .filter(|(name, _)| *name != "bedrock-edge")
        .map(|(name, version)| format!("{name} {version}"))
        .collect();
    let licences = read("LICENSES-OF-CRATES.txt");
    let blocks: Vec<&str> = licences.split("\n\n").collect();
    let listed: BTreeSet<String> = blocks
        .iter()
        .filter(|block| block.lines().nth(1).is_some_and(|line| line.starts_with("License: ")))
        .map(|block| block.lines().next().unwrap().to_owned())
        .filter(|name| name != "The Rust standard library")
        .collect();
    assert!(crates.len() > 30, "{crates:?}");
    assert_eq!(listed, crates);
    let rule = format!("{}\n", "-".repeat(80));
    let headings = licences.split(&rule).skip(1).step_by(2);
    let with_text: BTreeSet<String> =
        headings.flat_map(|it| it.trim().split(", ")).map(str::to_owned).collect();
    assert_eq!(with_text, crates);
}
