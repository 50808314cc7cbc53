//! AWS's signing test suite, run with the canonicalization of this crate. The suite is read from
//! the package of the aws-sigv4 crate, which is a dev-dependency.
//!
//! Each case begins with the signed request, as in a verification, and checks the three steps.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use bedrock_stub::Received;
use bedrock_stub::sigv4::{
    Authorization, PathEncoding, canonical_request, signature, string_to_sign,
};
use serde_json::Value;

/// The number of cases in aws-sigv4 1.6. The test fails if the suite shrinks or is not found.
const CASES: usize = 40;

/// The secret in every `context.json`, and of `double-url-encode`.
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

/// `Credentials::for_tests()` of the aws-credential-types crate, which signed `double-encode-path`.
const SECRET_FOR_TESTS: &str = "notrealrnrELgWzOk3IfjzDKtFBhDby";

#[test]
fn every_case_of_awss_signing_test_suite_passes() {
    let mut cases: Vec<PathBuf> =
        fs::read_dir(suite()).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(cases.len() >= CASES, "only {} cases", cases.len());
    let failures: Vec<String> = cases
        .iter()
        .filter_map(|case| {
            let name = case.file_name().unwrap().to_str().unwrap();
            let outcome = match name {
                "double-encode-path" => double_encode_path(case),
                "double-url-encode" => steps(case, SECRET, PathEncoding::Twice, true),
                _ => case_with_context(case),
            };
            outcome.err().map(|difference| format!("{name}: {difference}"))
        })
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

/// Runs a case with a `context.json`, in which the path is encoded once.
fn case_with_context(case: &Path) -> Result<(), String> {
    let context: Value = serde_json::from_str(&read(case, "context.json")).unwrap();
    let secret = context["credentials"]["secret_access_key"].as_str().unwrap();
    let normalize = context["normalize"].as_bool().unwrap();
    steps(case, secret, PathEncoding::Once, normalize)
}

/// Runs the case `double-encode-path`. It has neither a context nor a string to sign, and the times
/// of its canonical request and its signed request differ. So each is compared at its own time.
fn double_encode_path(case: &Path) -> Result<(), String> {
    let (mut received, authorization) = signed_request(case);
    let signed_headers = &authorization.signed_headers;
    let canonical = canonical_request(&received, signed_headers, PathEncoding::Twice, true);
    let time = received.header("x-amz-date").unwrap();
    let to_sign = string_to_sign(time, &authorization.scope, &canonical);
    let signature = signature(SECRET_FOR_TESTS, &authorization.scope, &to_sign);
    same("signature", &signature, &authorization.signature)?;

    let expected = read(case, "header-canonical-request.txt");
    for (name, value) in &mut received.headers {
        if name.eq_ignore_ascii_case("x-amz-date") {
            let line = expected.lines().find_map(|line| line.strip_prefix("x-amz-date:"));
            *value = line.unwrap().to_owned();
        }
    }
    let canonical = canonical_request(&received, signed_headers, PathEncoding::Twice, true);
    same("canonical request", &canonical, &expected)
}

fn steps(case: &Path, secret: &str, encoding: PathEncoding, normalize: bool) -> Result<(), String> {
    let (received, authorization) = signed_request(case);
    let scope = &authorization.scope;
    let canonical =
        canonical_request(&received, &authorization.signed_headers, encoding, normalize);
    same("canonical request", &canonical, &read(case, "header-canonical-request.txt"))?;
    let to_sign = string_to_sign(received.header("x-amz-date").unwrap(), scope, &canonical);
    same("string to sign", &to_sign, &read(case, "header-string-to-sign.txt"))?;
    let signature = signature(secret, scope, &to_sign);
    same("signature in Authorization", &signature, &authorization.signature)?;
    // `double-url-encode` has its signature in the signed request only.
    if case.join("header-signature.txt").exists() {
        same("signature", &signature, &read(case, "header-signature.txt"))?;
    }
    Ok(())
}

fn signed_request(case: &Path) -> (Received, Authorization) {
    // Not trimmed, because the body is signed. The two files with a body end exactly with it.
    let text = fs::read_to_string(case.join("header-signed-request.txt")).unwrap();
    let mut received = Received::from_text(&text).expect("a request");
    if received.header("content-length").is_none() {
        // Without a length, the text after the blank line is not a body.
        received.body.clear();
    }
    let authorization = Authorization::parse(received.header("authorization").unwrap()).unwrap();
    (received, authorization)
}

fn same(stage: &str, actual: &str, expected: &str) -> Result<(), String> {
    if actual == expected {
        Ok(())
    } else {
        Err(format!("{stage} differs\n--- expected\n{expected}\n--- actual\n{actual}"))
    }
}

/// Reads a file of the suite, without the trailing line end that some files have.
fn read(case: &Path, file: &str) -> String {
    fs::read_to_string(case.join(file)).unwrap().trim_end().to_owned()
}

/// Returns the directory of the suite in the unpacked package.
fn suite() -> PathBuf {
    let cargo = || Command::new(std::env::var_os("CARGO").expect("run by cargo"));
    let version = cargo().arg("-vV").output().unwrap().stdout;
    let version = String::from_utf8(version).unwrap();
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    // Without the filter, cargo downloads the packages of other platforms.
    let output = cargo()
        .args(["metadata", "--format-version", "1", "--filter-platform", host])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo metadata: {error}");
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let package = metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .find(|package| package["name"] == "aws-sigv4")
        .expect("aws-sigv4 is a dev-dependency");
    let manifest = Path::new(package["manifest_path"].as_str().unwrap());
    manifest.with_file_name("aws-signing-test-suite").join("v4")
}
