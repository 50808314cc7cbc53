//! Generates the JavaScript bindings of a wasm file, as the command `wasm-bindgen` does.
//!
//! It takes the options that `scripts/build` and worker-build pass. The crate `wasm-bindgen-cli` has
//! the whole command and a test runner, for which it builds an HTTP server, an HTTP client and TLS:
//! 104 crates in place of 45, and four times the CPU time.

use std::env;

use anyhow::{Context, Result, bail};
use wasm_bindgen_cli_support::Bindgen;

fn main() -> Result<()> {
    let mut bindgen = Bindgen::new();
    let mut out_dir = None;
    let mut args = env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().with_context(|| format!("{arg} expects a value"));
        match arg.as_str() {
            "--target" => match value()?.as_str() {
                "bundler" => bindgen.bundler(true)?,
                "module" => bindgen.module(true)?,
                "web" => bindgen.web(true)?,
                other => bail!("expected the target bundler, module or web, got {other}"),
            },
            "--out-dir" => {
                out_dir = Some(value()?);
                &mut bindgen
            }
            "--out-name" => bindgen.out_name(&value()?),
            "--typescript" => bindgen.typescript(true),
            "--no-typescript" => bindgen.typescript(false),
            "--debug" => bindgen.debug(true),
            "--keep-debug" => bindgen.keep_debug(true),
            "--no-demangle" => bindgen.demangle(false),
            "--omit-default-module-path" => bindgen.omit_default_module_path(true),
            "--split-linked-modules" => bindgen.split_linked_modules(true),
            "--experimental-reset-state-function" => bindgen.reset_state_function(true),
            "--force-enable-abort-handler" => bindgen.force_enable_abort_handler(true),
            option if option.starts_with('-') => bail!("{option} is not an option of this command"),
            input => bindgen.input_path(input),
        };
    }
    bindgen.generate(out_dir.context("--out-dir is missing")?)
}
