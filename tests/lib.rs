//! What the tests of processes have in common.

use std::path::Path;

pub mod processes;

/// The project's directory.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests is a folder of it")
}
