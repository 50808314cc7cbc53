//! Helpers for tests that start processes.

use std::path::Path;

pub mod processes;

/// The root directory of the project.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests has a parent directory")
}
