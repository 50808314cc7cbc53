//! The npm package: its contents, and the projects that install it, each in a folder of its own outside of the repository.

mod api;
mod hono;
mod package;
mod release;
mod template;
mod vite;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use bedrock_edge_tests::root;
use tokio::process::Command;
use tokio::sync::OnceCell;

/// Makes the package once, and returns the path of the tarball.
async fn tarball() -> &'static Path {
    static TARBALL: OnceCell<PathBuf> = OnceCell::const_new();
    TARBALL
        .get_or_init(|| async {
            let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("npm");
            let _ = fs::remove_dir_all(&out);
            run(Command::new("node").arg("scripts/pack.mjs").arg("--out").arg(&out)).await;
            out.join(format!("bedrock-edge-{}.tgz", version()))
        })
        .await
}

/// The version of the crate, which is that of the package.
fn version() -> String {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let version = manifest.lines().find_map(|line| line.strip_prefix("version = "));
    version.unwrap().trim_matches('"').to_owned()
}

/// Returns `PATH` with this project's Node.js in front: the system's may be too old.
fn path_with_node() -> String {
    let bin = root().join("node_modules/.bin");
    format!("{}:{}", bin.display(), std::env::var("PATH").unwrap())
}

/// Runs a command with this project's Node.js to its end, by default in the root of the repository, and returns its
/// standard output. Panics if it fails.
async fn run(command: &mut Command) -> String {
    if command.as_std().get_current_dir().is_none() {
        command.current_dir(root());
    }
    let output = command.env("PATH", path_with_node()).stdin(Stdio::null()).output().await.unwrap();
    let (out, err) = (output.stdout, String::from_utf8_lossy(&output.stderr));
    let out = String::from_utf8(out).unwrap();
    assert!(output.status.success(), "{command:?}: {out}{err}");
    out
}

/// A project that has the package installed. Dropping it removes it.
struct Project(PathBuf);

impl Project {
    /// Copies the files of a folder of the repository, or none, and installs the package, and what `package.json` asks for.
    async fn install(name: &str, folder: Option<&str>, options: &[&str]) -> Self {
        let path = std::env::temp_dir();
        let path = path.join(format!("bedrock-edge-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        let project = Self(path);
        if let Some(folder) = folder {
            let files = ["ls-files", "--cached", "--others", "--exclude-standard"];
            let files = run(Command::new("git").args(files).current_dir(root().join(folder))).await;
            for file in files.lines() {
                let copy = project.0.join(file);
                fs::create_dir_all(copy.parent().unwrap()).unwrap();
                fs::copy(root().join(folder).join(file), copy).unwrap();
            }
        }
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-audit", "--no-fund", "--prefer-offline", "--loglevel=error"]);
        run(npm.args(options).arg(tarball().await).current_dir(&project.0)).await;
        project
    }

    /// Returns the path, as the `folder` of `support::wrangler`.
    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }

    /// Checks the types as strictly as TypeScript can.
    async fn check_types(&self) {
        run(Command::new("wrangler").arg("types").current_dir(&self.0)).await;
        let tsc = ["--noEmit", "--strict", "--skipLibCheck", "false", "--project", "."];
        run(Command::new("tsc").args(tsc).current_dir(&self.0)).await;
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
