//! The contents of the npm package.

use std::collections::BTreeSet;
use std::fs;

use bedrock_edge_tests::root;
use serde_json::Value;
use tokio::process::Command;

use super::{Project, run, tarball, version};

const FILES: [&str; 13] = [
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "LICENSES-OF-CRATES.txt",
    "README.md",
    "index.d.ts",
    "index.js",
    "index_bg.wasm",
    "package.json",
    "provenance.json",
    "stand-in.js",
    "template/.dev.vars",
    "template/index.js",
    "template/wrangler.toml",
];

#[tokio::test]
async fn the_package_has_what_a_worker_needs_and_no_dependency_and_no_script() {
    let project = Project::install("package", None, &[]).await;
    let folder = project.0.join("node_modules/bedrock-edge");
    let read = |file: &str| fs::read_to_string(folder.join(file)).unwrap();
    let files = run(Command::new("tar").arg("-tf").arg(tarball().await)).await;
    let files: BTreeSet<&str> =
        files.lines().filter_map(|path| path.strip_prefix("package/")).collect();
    assert_eq!(files, FILES.into());

    let manifest: Value = serde_json::from_str(&read("package.json")).unwrap();
    assert_eq!(manifest["version"], version());
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

#[tokio::test]
async fn publint_and_are_the_types_wrong_find_nothing() {
    let tarball = tarball().await;
    run(Command::new("publint").arg("--strict").arg(tarball)).await;
    // Workers have modules only.
    run(Command::new("attw").args(["--profile", "esm-only"]).arg(tarball)).await;
}

/// Bundles a module that uses the package, as a bundler for Workers does.
async fn bundle(project: &Project, source: &str) -> String {
    fs::write(project.0.join("source.js"), source).unwrap();
    let options = ["--bundle", "--format=esm", "--external:cloudflare:*", "--loader:.wasm=copy"];
    let mut esbuild = Command::new("esbuild");
    esbuild.arg("source.js").args(options).arg("--outdir=bundled").current_dir(&project.0);
    run(&mut esbuild).await;
    fs::read_to_string(project.0.join("bundled/source.js")).unwrap()
}

#[tokio::test]
async fn a_bundler_drops_an_unused_import_and_the_import_runs_nothing() {
    let project = Project::install("bundled", None, &[]).await;
    let unused =
        bundle(&project, r#"import { bedrock } from "bedrock-edge"; console.log(1);"#).await;
    assert!(!unused.contains("wasm") && unused.len() < 200, "{unused}");

    // In Node.js, where there is neither a runtime of Workers nor a module of wasm: an instance would need both.
    let used = r#"import worker, { bedrock } from "bedrock-edge"; export { bedrock, worker };"#;
    let used = bundle(&project, used).await;
    assert!(used.contains(".wasm\""), "the wasm is a module of its own");
    let stub = "data:text/javascript,export const env = {}, waitUntil = 0; export class DurableObject {} export class WorkerEntrypoint {}";
    let stubbed = used.replace("\"cloudflare:workers\"", &format!("{stub:?}"));
    let from = stubbed.find("import wasmModule from").expect("the import of the wasm");
    let end = from + stubbed[from..].find('\n').unwrap();
    let stubbed = format!("{}const wasmModule = 0;{}", &stubbed[..from], &stubbed[end..]);
    fs::write(project.0.join("bundled/stubbed.mjs"), stubbed).unwrap();
    let check = r#"
        const { bedrock, worker } = await import("./bundled/stubbed.mjs");
        const instance = bedrock({ region: "us-east-1" });
        try {
            instance.fetch(new Request("http://localhost/"), {});
        } catch (error) {
            console.log(typeof worker.fetch, error.message);
        }
    "#;
    let node = ["--input-type=module", "-e", check];
    let output = run(Command::new("node").args(node).current_dir(&project.0)).await;
    assert!(output.starts_with("function WebAssembly.Instance()"), "{output}");
}
