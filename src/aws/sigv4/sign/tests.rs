//! Every signature is taken apart again with the canonicalizer of the stub server, which shares no code with
//! the signer, so that a failure names the first stage of SigV4 that differs.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use aws_sigv4::http_request::{PercentEncodingMode, SessionTokenMode};
use bedrock_stub::Received;
use bedrock_stub::sigv4::{Authorization, PathEncoding, canonical_request, string_to_sign};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::*;
use crate::aws::{SigningCache, sign_post};
use crate::date::YEAR_10000;

/// Parses the time of a fixture.
fn at(time: &str) -> SystemTime {
    let seconds = match time {
        "2015-08-30T12:36:00Z" => 1_440_938_160,
        "2021-05-11T15:40:45Z" => 1_620_747_645,
        "2026-01-02T03:04:05Z" => 1_767_323_045,
        other => panic!("no fixture is of {other}"),
    };
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("{key} is not a string"))
}

fn credentials(value: &Value, token: &str) -> Credentials {
    let token = value[token].as_str().map(str::to_owned);
    Credentials::new(text(value, "access_key_id"), text(value, "secret_access_key"), token)
}

fn scope(value: &Value) -> Scope<'_> {
    Scope { region: text(value, "region"), service: text(value, "service") }
}

/// The stages of a signature that a verifier computes from a signed request, up to the string to sign.
struct Stages {
    received: Received,
    authorization: Authorization,
    canonical_request: String,
    string_to_sign: String,
}

impl Stages {
    fn from_request(request: &Request<String>, encoding: PathEncoding, normalize: bool) -> Self {
        let uri = request.uri();
        let mut headers = vec![("host".to_owned(), uri.authority().unwrap().to_string())];
        headers.extend(request.headers().iter().map(|(name, value)| {
            (name.to_string(), value.to_str().expect("only ASCII is signed").to_owned())
        }));
        let received = Received {
            method: request.method().to_string(),
            target: uri.path_and_query().unwrap().to_string(),
            headers,
            body: request.body().clone().into_bytes(),
        };
        let authorization =
            Authorization::parse(received.header("authorization").unwrap()).unwrap();
        let canonical_request =
            canonical_request(&received, &authorization.signed_headers, encoding, normalize);
        let time = received.header("x-amz-date").unwrap();
        let string_to_sign = string_to_sign(time, &authorization.scope, &canonical_request);
        Self { received, authorization, canonical_request, string_to_sign }
    }
}

fn same(stage: &str, actual: &str, expected: &str) -> Result<(), String> {
    if actual == expected {
        Ok(())
    } else {
        Err(format!("{stage} differs\n--- expected\n{expected}\n--- actual\n{actual}"))
    }
}

/// Runs every case, and reports all failures at once.
fn run(cases: &[PathBuf], check: impl Fn(&Path, &str) -> Result<(), String>) {
    let failures: Vec<String> = cases
        .iter()
        .filter_map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap();
            check(path, name).err().map(|difference| format!("{name}: {difference}"))
        })
        .collect();
    assert!(failures.is_empty(), "{} failed\n\n{}", failures.len(), failures.join("\n\n"));
}

fn list(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// The suite is part of the package of aws-sigv4, and none of it is copied here. All of its cases can be signed
/// in a header, and none is left out.
#[test]
fn the_aws_signing_test_suite_passes() {
    let cases = list(&suite());
    assert_eq!(cases.len(), 40, "aws-sigv4 1.6 has 40 cases");
    run(&cases, suite_case);
}

fn suite_case(case: &Path, name: &str) -> Result<(), String> {
    let context = context(case, name);
    let sign_at = |time: &str| {
        // The suite has S3's rule: the path is encoded once. Only the two cases that aws-sigv4 added have
        // Bedrock's.
        let (mode, encoding) = match name {
            "double-encode-path" | "double-url-encode" => {
                (PercentEncodingMode::Double, PathEncoding::Twice)
            }
            _ => (PercentEncodingMode::Single, PathEncoding::Once),
        };
        let normalize = context["normalize"].as_bool().unwrap();
        let mut settings = SigningSettings::default();
        settings.percent_encoding_mode = mode;
        settings.uri_path_normalization_mode = normalize.into();
        if context["omit_session_token"] == true {
            settings.session_token_mode = SessionTokenMode::Exclude;
        }
        let mut request = suite_request(case, &context);
        let credentials = credentials(&context["credentials"], "token");
        sign_with(&mut request, &credentials, scope(&context), at(time), settings)
            .map_err(|error| error.to_string())?;
        Ok::<_, String>(Stages::from_request(&request, encoding, normalize))
    };

    let time = text(&context, "timestamp");
    let canonical = sign_at(context["canonical_timestamp"].as_str().unwrap_or(time))?;
    let expected = read(case, "header-canonical-request.txt");
    same("canonical request", &canonical.canonical_request, &expected)?;
    let signed_headers = canonical.authorization.signed_headers.join(";");
    same("SignedHeaders", &signed_headers, expected.lines().nth_back(1).unwrap())?;

    let signed = sign_at(time)?;
    for (stage, file, actual) in [
        ("string to sign", "header-string-to-sign.txt", &signed.string_to_sign),
        ("signature", "header-signature.txt", &signed.authorization.signature),
    ] {
        // The cases without a context lack these files: their signature is in the last stage only.
        if case.join("context.json").exists() || case.join(file).exists() {
            same(stage, actual, &read(case, file))?;
        }
    }
    let expected = Received::from_text(&read(case, "header-signed-request.txt")).unwrap();
    same("signed request", &header_lines(&signed.received), &header_lines(&expected))
}

/// Returns `context.json`, or what the two cases without one were signed with.
fn context(case: &Path, name: &str) -> Value {
    match name {
        "double-encode-path" => json!({
            // `Credentials::for_tests()` of the aws-credential-types crate.
            "credentials": {
                "access_key_id": "ANOTREAL",
                "secret_access_key": "notrealrnrELgWzOk3IfjzDKtFBhDby",
            },
            "region": "us-east-1",
            "service": "service",
            "normalize": true,
            "timestamp": "2015-08-30T12:36:00Z",
            // Its canonical request has another time than its signed request.
            "canonical_timestamp": "2021-05-11T15:40:45Z",
        }),
        "double-url-encode" => json!({
            "credentials": {
                "access_key_id": "AKIDEXAMPLE",
                "secret_access_key": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
            },
            "region": "us-east-2",
            "service": "lambda",
            "normalize": true,
            "timestamp": "2021-05-11T15:40:45Z",
        }),
        _ => serde_json::from_str(&read(case, "context.json")).unwrap(),
    }
}

/// Reads `request.txt` as an HTTP client holds it. A space and `ሴ`, which no URI can contain, are
/// percent-encoded as they go over the wire, and a value of several lines is in one line (RFC 9112, section 5.2).
fn suite_request(case: &Path, context: &Value) -> Request<String> {
    const NOT_IN_A_URI: &AsciiSet = &CONTROLS.add(b' ');
    let text = Received::from_text(&read(case, "request.txt")).unwrap();
    let target = utf8_percent_encode(&text.target, NOT_IN_A_URI);
    let uri = format!("https://{}{target}", text.header("host").unwrap());
    let mut request = Request::builder().method(&*text.method).uri(uri);
    for (name, value) in &text.headers {
        if !name.eq_ignore_ascii_case("host") {
            request = request.header(name, value.replace('\n', " "));
        }
    }
    if context["sign_body"] == true {
        let canonical = read(case, "header-canonical-request.txt");
        request = request.header("x-amz-content-sha256", canonical.lines().last().unwrap());
    }
    request.body(String::from_utf8(text.body).unwrap()).unwrap()
}

/// Returns the headers, one a line, sorted by name. The values of a repeated header stay in their order.
fn header_lines(received: &Received) -> String {
    let mut headers: Vec<(String, String)> = received
        .headers
        .iter()
        .map(|(name, value)| (name.to_lowercase(), value.replace('\n', " ").trim().to_owned()))
        .collect();
    headers.sort_by(|(left, _), (right, _)| left.cmp(right));
    headers.iter().map(|(name, value)| format!("{name}: {value}\n")).collect()
}

/// Reads a text file of the suite, without the line end that some of them have.
fn read(case: &Path, file: &str) -> String {
    fs::read_to_string(case.join(file)).unwrap().trim_end().to_owned()
}

fn suite() -> PathBuf {
    let cargo = || Command::new(std::env::var_os("CARGO").expect("run by cargo"));
    let version = String::from_utf8(cargo().arg("-vV").output().unwrap().stdout).unwrap();
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    // Without the filter, packages of other platforms would be fetched.
    let output = cargo()
        .args(["metadata", "--format-version", "1", "--filter-platform", host])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo metadata: {error}");
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let package = packages.iter().find(|package| package["name"] == "aws-sigv4").unwrap();
    let manifest = Path::new(text(package, "manifest_path"));
    manifest.with_file_name("aws-signing-test-suite").join("v4")
}

#[test]
fn both_signers_agree_with_botocore() {
    let mut vectors = list(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors"));
    vectors.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    assert!(vectors.len() >= 5, "only {} vectors", vectors.len());
    run(&vectors, |path, _| {
        let vector: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        let mut request = Request::builder().method(text(&vector, "method"));
        for (name, value) in vector["headers"].as_object().unwrap() {
            request = request.header(name, value.as_str().unwrap());
        }
        let unsigned =
            request.uri(text(&vector, "url")).body(text(&vector, "body").to_owned()).unwrap();
        let credentials = credentials(&vector, "session_token");
        let (scope, now) = (scope(&vector), at(text(&vector, "time")));
        let (mut signed, mut post) = (unsigned.clone(), unsigned);
        sign(&mut signed, &credentials, scope, now).map_err(|error| error.to_string())?;
        let payload_hash = Sha256::digest(post.body()).into();
        sign_post(&mut post, &payload_hash, &credentials, scope, now, &SigningCache::default())
            .map_err(|error| error.to_string())?;

        for (signer, request) in [("sign", &signed), ("sign_post", &post)] {
            let stages = Stages::from_request(request, PathEncoding::Twice, true);
            for (key, actual) in [
                ("canonical_request", &*stages.canonical_request),
                ("string_to_sign", &stages.string_to_sign),
                ("authorization", stages.received.header("authorization").unwrap()),
            ] {
                same(&format!("{signer}: {key}"), actual, text(&vector, key))?;
            }
        }
        Ok(())
    });
}

const SCOPE: Scope<'_> = Scope { region: "us-east-1", service: "bedrock" };
const TOKEN: &str = "AQoDYXdzEPT//////////wEXAMPLEtoken==";

fn key(token: Option<&str>) -> Credentials {
    Credentials::new("ASIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI", token.map(str::to_owned))
}

fn unsigned() -> Request<&'static str> {
    Request::post("https://bedrock-runtime.us-east-1.amazonaws.com/model/m%3A0/invoke")
        .header("content-type", "application/json")
        .body("{}")
        .unwrap()
}

#[test]
fn a_second_signature_replaces_the_first() {
    let (then, now) = (at("2015-08-30T12:36:00Z"), at("2026-01-02T03:04:05Z"));
    for (name, first, second) in [
        ("long-term credentials", key(None), key(None)),
        ("temporary credentials", key(Some("an older token")), key(Some(TOKEN))),
        ("temporary after long-term", key(None), key(Some(TOKEN))),
        ("long-term after temporary", key(Some(TOKEN)), key(None)),
    ] {
        let mut fresh = unsigned();
        sign(&mut fresh, &second, SCOPE, now).unwrap();
        let mut retried = unsigned();
        sign(&mut retried, &first, SCOPE, then).unwrap();
        sign(&mut retried, &second, SCOPE, now).unwrap();
        assert_eq!(retried.headers(), fresh.headers(), "{name}");
    }
}

#[test]
fn a_request_that_cannot_be_signed_is_an_error_and_no_panic() {
    const NOT_ASCII: &str = "failed to convert header to a str";
    let good = || (unsigned(), key(None), at("2015-08-30T12:36:00Z"));
    let uri = |uri: &'static str| {
        let (mut request, key, now) = good();
        *request.uri_mut() = uri.parse().unwrap();
        (request, key, now)
    };
    let header = |value: &[u8]| {
        let (mut request, key, now) = good();
        request.headers_mut().insert("x-name", HeaderValue::from_bytes(value).unwrap());
        (request, key, now)
    };
    let year_10000 = SystemTime::UNIX_EPOCH + Duration::from_secs(YEAR_10000);
    let failures: Vec<String> = [
        ("a path only", uri("/model/m/invoke"), "its URI is not absolute"),
        ("an asterisk", uri("*"), "its URI is not absolute"),
        ("a host and no scheme", uri("example.com:443"), "its URI is not absolute"),
        ("a port and no host", uri("http://:80/model/m/invoke"), "its URI is not absolute"),
        ("UTF-8 in a header", header("東京".as_bytes()), NOT_ASCII),
        ("Latin-1 in a header", header(b"\xe9"), NOT_ASCII),
        (
            "a newline in the token",
            (unsigned(), key(Some("two\nlines")), good().2),
            "failed to create canonical request: invalid header value: \
             failed to parse header value",
        ),
        (
            "a newline in the key's id",
            (unsigned(), Credentials::new("two\nlines", "wJalrXUtnFEMI", None), good().2),
            "failed to parse header value",
        ),
        ("a year of five digits", (unsigned(), key(None), year_10000), "its time is out of range"),
    ]
    .into_iter()
    .filter_map(|(name, (mut request, credentials, now), expected)| {
        let signing = AssertUnwindSafe(|| sign(&mut request, &credentials, SCOPE, now));
        let error = match catch_unwind(signing) {
            Ok(Ok(())) => "signed".to_owned(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "panicked".to_owned(),
        };
        let expected = format!("cannot sign the request: {expected}");
        (error != expected).then(|| format!("{name}: {error}"))
    })
    .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn the_debug_output_shows_no_secret() {
    let mut request = unsigned();
    sign(&mut request, &key(Some(TOKEN)), SCOPE, at("2015-08-30T12:36:00Z")).unwrap();
    for name in ["authorization", "x-amz-security-token"] {
        assert!(request.headers()[name].is_sensitive(), "{name}");
    }
    assert_eq!(format!("{:?}", key(Some(TOKEN))), "Credentials([redacted])");
    assert_eq!(format!("{:#?}", key(Some(TOKEN))), "Credentials([redacted])");
}
