//! The published crate: the files in its package, its dependencies and its minimum Rust version.
//!
//! Out of scope: whether the package builds, which `cargo package` checks in `npm test`.

use std::collections::BTreeSet;
use std::process::Command;

use bedrock_edge_tests::root;

#[test]
fn the_package_contains_the_library_and_nothing_else() {
    let listed = cargo(&["package", "--list", "--allow-dirty"]);
    let listed: BTreeSet<&str> = listed.lines().collect();

    let is_a_unit_test = |path: &str| {
        path.ends_with("/tests.rs") || path.contains("/tests/") || path.starts_with("src/testing")
    };
    let sources = run(Command::new("git").args([
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
        "src",
    ]));
    let mut expected: BTreeSet<&str> =
        sources.lines().filter(|path| !is_a_unit_test(path)).collect();
    expected.extend(["README.md", "CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT"]);
    // Files that cargo always adds; the last one only in a git repository.
    expected.extend(["Cargo.toml", "Cargo.toml.orig", "Cargo.lock", ".cargo_vcs_info.json"]);
    assert_eq!(listed, expected);
}

#[test]
fn only_the_worker_features_depend_on_javascript_crates() {
    const JAVASCRIPT: [&str; 5] =
        ["js-sys", "wasm-bindgen", "wasm-bindgen-futures", "web-sys", "worker"];
    let cases: [(&str, &[&str]); 3] =
        [("", &[]), ("worker", &JAVASCRIPT), ("entry", &["js-sys", "wasm-bindgen", "web-sys"])];
    for (features, expected) in cases {
        // All targets, so that dependencies of wasm32 count as well.
        let tree = cargo(&[
            "tree",
            "--package=bedrock-edge",
            "--edges=normal,build",
            "--target=all",
            "--prefix=none",
            "--format={lib}",
            "--features",
            features,
        ]);
        let crates: BTreeSet<&str> = tree.lines().collect();
        assert!(crates.contains("aws_sigv4"), "features {features:?}: {crates:?}");
        let found = JAVASCRIPT.iter().filter(|name| crates.contains(&*name.replace('-', "_")));
        assert!(found.eq(expected), "features {features:?}: {crates:?}");
    }
}

#[test]
fn all_packages_and_the_readme_have_the_same_minimum_rust_version() {
    let metadata = cargo(&["metadata", "--no-deps", "--format-version=1"]);
    let metadata: serde_json::Value = serde_json::from_str(&metadata).unwrap();
    let versions: BTreeSet<&str> = metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| package["rust_version"].as_str().unwrap_or("none"))
        .collect();
    assert_eq!(versions.len(), 1, "{versions:?}");
    let readme = include_str!("../README.md");
    let version = versions.first().unwrap();
    assert!(readme.contains(&format!("Rust {version}")), "README.md does not name Rust {version}");
}

fn cargo(arguments: &[&str]) -> String {
    run(Command::new(env!("CARGO")).args(arguments).arg("--quiet"))
}

fn run(command: &mut Command) -> String {
    let output = command.current_dir(root()).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}
