//! `npm run release`, in copies of the repository.

use std::fs;
use std::path::Path;

use bedrock_edge_tests::root;
use tokio::process::Command;

use super::run;

/// A copy of the repository. Dropping it removes it.
struct Copy(std::path::PathBuf);

impl Copy {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir();
        let path = path.join(format!("bedrock-edge-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Self(path)
    }

    fn in_it<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        // A target folder of its own, whatever that of the tests is.
        command.current_dir(&self.0).env_remove("CARGO_TARGET_DIR")
    }

    async fn git(&self, arguments: &[&str]) -> String {
        let author = ["-c", "user.name=test", "-c", "user.email=test@example.com"];
        run(self.in_it(Command::new("git").args(author).args(arguments))).await
    }

    async fn release(&self, arguments: &[&str]) -> String {
        let modules = self.0.join("node_modules");
        if !modules.exists() {
            std::os::unix::fs::symlink(root().join("node_modules"), modules).unwrap();
        }
        run(self.in_it(Command::new("node").arg("scripts/release.mjs").args(arguments))).await
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.0.join(file)).unwrap()
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn a_release_sets_the_version_everywhere_and_makes_the_same_bytes_in_every_folder() {
    let (first, second) = (Copy::new("release"), Copy::new("another-folder"));
    let files = ["ls-files", "--cached", "--others", "--exclude-standard"];
    let files = run(Command::new("git").args(files)).await;
    for file in files.lines().filter(|file| root().join(file).is_file()) {
        let copy = first.0.join(file);
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        fs::copy(root().join(file), copy).unwrap();
    }
    // After a release there is nothing yet.
    let changelog = first.read("CHANGELOG.md");
    let heading = "\n## Unreleased\n";
    let changelog = changelog.replacen(heading, &format!("{heading}\n- A change.\n"), 1);
    fs::write(first.0.join("CHANGELOG.md"), changelog).unwrap();
    first.git(&["init", "--quiet"]).await;
    // The folder of modules is a link here, which .gitignore does not cover.
    fs::write(first.0.join(".git/info/exclude"), "node_modules\n").unwrap();
    first.git(&["add", "--all"]).await;
    first.git(&["commit", "--quiet", "--message=all"]).await;

    first.release(&["97.98.99"]).await;
    let changed = first.git(&["diff", "--name-only"]).await;
    for file in ["CHANGELOG.md", "Cargo.lock", "Cargo.toml", "examples/hono/package.json"] {
        assert!(changed.lines().any(|line| line == file), "{changed}");
    }
    assert!(first.read("Cargo.toml").contains("\nversion = \"97.98.99\"\n"));
    assert!(first.read("docs/embedding.md").contains("bedrock-edge-97.98.99.tgz"));
    let changelog = first.read("CHANGELOG.md");
    let sections: Vec<&str> =
        changelog.lines().filter(|line| line.starts_with("## ")).take(2).collect();
    assert!(matches!(*sections, ["## Unreleased", it] if it.starts_with("## 97.98.99 - 20")));
    assert!(changelog.contains("\n- A change.\n"));
    first.git(&["commit", "--quiet", "--all", "--message=97.98.99"]).await;

    let from = [first.0.to_str().unwrap(), second.0.to_str().unwrap()];
    run(Command::new("git").args(["clone", "--quiet"]).args(from)).await;
    fs::write(second.0.join(".git/info/exclude"), "node_modules\n").unwrap();
    tokio::join!(first.release(&[]), second.release(&[]));
    let sums = first.read("build/release/SHA256SUMS");
    assert_eq!(sums, second.read("build/release/SHA256SUMS"));
    let names: Vec<&str> = sums.lines().map(|line| line.split("  ").nth(1).unwrap()).collect();
    assert_eq!(names, ["bedrock-edge-97.98.99.tgz", "bedrock-edge-97.98.99.crate"]);
    for name in names {
        assert!(Path::new(&first.0).join("build/release").join(name).is_file(), "{name}");
    }
    let provenance: serde_json::Value =
        serde_json::from_str(&first.read("build/package/provenance.json")).unwrap();
    let commit = first.git(&["rev-parse", "HEAD"]).await;
    assert_eq!(provenance["commit"], commit.trim(), "{provenance}");
    assert_eq!(provenance["has_changes"], false, "{provenance}");
}
